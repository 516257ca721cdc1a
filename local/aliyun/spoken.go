package aliyun

import (
	"context"

	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/shared/cloud/alicloud"
)

// Spoken lets a machine without a shell answer as the shell text does that
// Cloud Assistant is sent: both of the helper's outputs come home as one.
func Spoken(m instance.Machine) instance.Machine { return spoken{m} }

type spoken struct{ instance.Machine }

func (m spoken) Execute(ctx context.Context, c instance.Command) instance.Result {
	r := m.Machine.Execute(ctx, c)
	if len(r.Stdout) > 0 {
		r.Stdout = []byte(alicloud.Answer(string(r.Stdout)))
	}
	return r
}
