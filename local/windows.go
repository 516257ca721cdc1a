package local

import (
	"context"
	"errors"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/quiesce/quiesce/local/windows"
)

// asWindows is the stage's machine as a Windows instance, which calls EC2 by its
// own profile.
func (a *account) asWindows(s stage) *windows.Machine {
	tool := s.tool()
	return &windows.Machine{
		Machine: s.machine(), ID: instanceID, Faults: a.faults,
		Account: windows.Account{EC2: awsec2.NewFromConfig(a.cloud.Client(windows.Profile))},
		Host: windows.Host{
			Mounts: tool.Mounts, Freeze: tool.Freeze, Copy: s.disks().Snapshot,
			Revert: func(_ context.Context, volume, copied string) error {
				simulated, ok := s.disks().(interface {
					Revert(volume, snapshot string) error
				})
				if !ok {
					return errors.New("shadow copies are played on a simulated machine alone")
				}
				return simulated.Revert(volume, copied)
			},
			Rest: func(ctx context.Context, rest bool) error {
				pre, post := s.scripts()
				script := post
				if rest {
					script = pre
				}
				if tool.Script(ctx, script) != 0 {
					return errors.New("the ledger did not do as it was told")
				}
				return nil
			},
		},
	}
}
