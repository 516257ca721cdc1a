package postgresql

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Only the thread that connects has the other account, and only meanwhile.
func TestAccountIsOneThreadsAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP needs root, to take on another account")
	}
	const nobody = 65534
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := as(nobody, func() error {
				others := 0
				for _, uid := range accounts(t) {
					if uid == "0" {
						others++
					}
				}
				if others == 0 {
					t.Error("every thread has the account")
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, uid := range accounts(t) {
		if uid != "0" {
			t.Errorf("a thread is left with account %s", uid)
		}
	}
}

// accounts are the effective ones of the threads of this process.
func accounts(t *testing.T) (list []string) {
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		t.Error(err)
	}
	for _, path := range tasks {
		data, _ := os.ReadFile(path) // a thread may have ended
		for line := range strings.Lines(string(data)) {
			if fields := strings.Fields(line); fields[0] == "Uid:" {
				list = append(list, fields[2])
			}
		}
	}
	return list
}
