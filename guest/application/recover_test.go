package application

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestBlame(t *testing.T) {
	log := "1 [Note] begins\n2 FATAL: the database system is starting up\n3 [ERROR] page 7 is broken\n4 [ERROR] gives up\n5 [ERROR] Aborting\n\n"
	for _, c := range []struct {
		log, want string
		words     []string
	}{
		{log, "3 [ERROR] page 7 is broken", []string{"[ERROR]", "FATAL:"}},
		{log, "5 [ERROR] Aborting", []string{"PANIC:"}},
		{"", "", []string{"FATAL"}},
	} {
		if got := Blame(c.log, c.words...); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// The second server's folder is its owner's alone, and the command line of a
// program is the same whether or not a profile is left out.
func TestSettle(t *testing.T) {
	room := t.TempDir()
	s, err := Copy{Data: room, Room: room}.Settle()
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(s.Dir); err != nil || fi.Mode().Perm() != 0o700 || int(s.As.UID) != os.Geteuid() {
		t.Errorf("got %+v, %v, %v", s, fi, err)
	}
	path, args := unconfined("/usr/sbin/mysqld", []string{"--no-defaults"})
	if want := []string{"-p", "unconfined", "--", "/usr/sbin/mysqld", "--no-defaults"}; path != unconfine || !slices.Equal(args, want) {
		t.Errorf("got %s %q", path, args)
	}
	spec := s.Spec("/bin/sh", "-c", "echo $TMPDIR; pwd")
	if said, err := spec.Run(t.Context()); err != nil || said != s.Dir+"\n"+s.Dir {
		t.Errorf("got %q, %v", said, err)
	}
	if filepath.Dir(s.Log()) != room {
		t.Errorf("logs to %s", s.Log())
	}
	if _, err := exec.LookPath(unconfine); err != nil {
		t.Log("aa-exec is not here: the profile's absence was not tried")
	}
}
