//go:build linux

package process

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A server that dies with its starter does so as another account, too.
func TestDies(t *testing.T) {
	as := Account{uint32(os.Geteuid()), uint32(os.Getegid())}
	if as.UID == 0 {
		as = Account{65534, 65534}
	}
	spec := Spec{Account: as, Path: "/bin/sleep", Args: []string{"3611"}, Log: filepath.Join(t.TempDir(), "log"), Dies: true}
	started := make(chan *Process, 2)
	var start func()
	start = func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if syscall.Gettid() == os.Getpid() {
			go start() // the first thread never ends: another one, while this one is taken
			<-started
			return
		}
		p, err := spec.Start()
		if err != nil {
			t.Error(err)
		}
		started <- p
		started <- p
	}
	go start()
	select {
	case <-(<-started).Exited():
	case <-time.After(10 * time.Second):
		t.Error("it lives on")
	}
}
