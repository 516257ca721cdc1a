//go:build linux

package main

import (
	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/application/mariadb"
	"github.com/quiesce/quiesce/guest/application/mongodb"
	"github.com/quiesce/quiesce/guest/application/mysql"
	"github.com/quiesce/quiesce/guest/application/postgresql"
	"github.com/quiesce/quiesce/guest/application/redis"
)

// applications is the one table of the kinds that the helper can quiesce
// besides scripts, each with its adapter's constructor.
var applications = map[string]application.New{
	"mariadb":       mariadb.New,
	mysql.Kind:      mysql.New,
	postgresql.Kind: postgresql.New,
	redis.Kind:      redis.New,
	mongodb.Kind:    mongodb.New,
}

// recoverers is the one table of the kinds of which a second server can be
// started on restored disks.
var recoverers = map[string]application.Recoverer{
	"mariadb":       mariadb.Recoverer(),
	mysql.Kind:      mysql.Recoverer(),
	postgresql.Kind: postgresql.Recoverer{},
	redis.Kind:      redis.Recoverer{},
}
