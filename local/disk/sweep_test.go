package disk

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// envVictim makes the test binary a run that is to be killed.
const envVictim = "QUIESCE_TEST_VICTIM"

func TestMain(m *testing.M) {
	if parent := os.Getenv(envVictim); parent != "" {
		if err := victim(parent); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		time.Sleep(time.Minute) // it is killed long before
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim leaves behind the worst that a run can: a frozen filesystem with a
// blocked writer on it, another frozen and unmounted, and a detached volume.
func victim(parent string) error {
	ctx := context.Background()
	p, err := Open(ctx, Config{Parent: parent, Bytes: 8 << 30})
	if err != nil {
		return err
	}
	for _, volume := range []string{"a", "b", "c"} {
		if err := p.Create(ctx, volume, 512<<20, ""); err != nil {
			return err
		}
		device, err := p.Attach(ctx, volume)
		if err != nil {
			return err
		}
		if err := Format(ctx, device, Ext4); err != nil {
			return err
		}
	}
	a, b := filepath.Join(p.room.dir, "a"), filepath.Join(p.room.dir, "b")
	for _, at := range []string{a, b} {
		if err := p.Mount(p.volumes[filepath.Base(at)].device, at); err != nil {
			return err
		}
		if err := freezeNow(at); err != nil {
			return err
		}
	}
	if err := p.Unmount(b); err != nil {
		return err
	}
	if err := p.Detach(ctx, "c"); err != nil {
		return err
	}
	if _, err := p.Room().Memory("run"); err != nil {
		return err
	}
	writer, err := startBlocked(p, a)
	if err != nil {
		return err
	}
	if err := p.Room().Own(writer.Process.Pid); err != nil {
		return err
	}
	fmt.Println(p.Room().Dir(), writer.Process.Pid)
	return nil
}

func freezeNow(at string) error {
	dir, err := os.Open(at)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.IoctlSetInt(int(dir.Fd()), fiFreeze, 0)
}

// startBlocked starts a writer on a frozen filesystem and returns when it is
// seen in uninterruptible sleep.
func startBlocked(p *Pool, at string) (*exec.Cmd, error) {
	writer := exec.Command("/bin/sh", "-c", `echo blocked > "$0"/file`, at)
	writer.Env = append(os.Environ(), p.Room().Mark())
	writer.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := writer.Start(); err != nil {
		return nil, err
	}
	return writer, within(5*time.Second, func() error {
		fields, err := statFields(writer.Process.Pid)
		if err == nil && fields[0] != "D" {
			err = fmt.Errorf("the writer is in state %s", fields[0])
		}
		return err
	})
}

func TestSweepTakesAwayWhatAKilledRunLeft(t *testing.T) {
	needsRealDisks(t)
	parent := t.TempDir()
	live, err := Open(t.Context(), Config{Parent: parent, Bytes: 2 << 30})
	must(t, err)
	defer live.Close()
	livePlace := newMounted(t, live, "v", Ext4)

	run := exec.Command(os.Args[0])
	run.Env = append(os.Environ(), envVictim+"="+parent)
	out, err := run.StdoutPipe()
	must(t, err)
	must(t, run.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	var room string
	var writer int
	if _, err := fmt.Sscan(line, &room, &writer); err != nil {
		t.Fatalf("the victim says %q", line)
	}
	if swept, err := Sweep(parent); err != nil || len(swept) != 0 {
		t.Errorf("Sweep beside two living runs = %v, %v; want nothing", swept, err)
	}
	must(t, run.Process.Kill())
	_ = run.Wait()

	swept, err := Sweep(parent)
	if err != nil || len(swept) != 1 || swept[0] != room {
		t.Errorf("Sweep = %v, %v; want %s", swept, err, room)
	}
	if _, err := os.Stat(room); !os.IsNotExist(err) {
		t.Errorf("the room is still there: %v", err)
	}
	if state, err := statFields(writer); err == nil && state[0] != "Z" {
		t.Errorf("the writer is still there, state %s", state[0])
	}
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	must(t, err)
	for _, f := range files {
		if data, _ := os.ReadFile(f); strings.HasPrefix(string(data), room) {
			t.Errorf("%s is still attached", f)
		}
	}
	must(t, os.WriteFile(filepath.Join(livePlace, "file"), []byte("the living run goes on"), 0o600))
}

func TestCloseWhileFrozenWithAWriterBlocked(t *testing.T) {
	eachMode(t, func(t *testing.T, p *Pool) {
		at := newMounted(t, p, "v", Ext4)
		must(t, freezeNow(at))
		writer, err := startBlocked(p, at)
		must(t, err)
		go writer.Wait()
		must(t, p.Close()) // the room's removal is seen to by openPool
	})
}

func TestCloseWhileThePoolItselfIsFrozen(t *testing.T) {
	p := openPool(t, Frozen)
	at := newMounted(t, p, "v", Ext4)
	must(t, freezeNow(at))
	must(t, freezeNow(p.dir.Name()))
	must(t, p.Close())
}

func TestAForeignHolderKeepsItsRoom(t *testing.T) {
	needsRealDisks(t)
	parent := t.TempDir()
	room, err := NewRoom(parent)
	must(t, err)
	// The journal of a room copied under another name names no device of it.
	other := filepath.Join(parent, roomPrefix+"forged")
	must(t, os.Mkdir(other, 0o700))
	must(t, os.WriteFile(filepath.Join(other, journalName),
		[]byte(`{"kind":"owner","pid":1,"start":1,"bootId":"another"}`+"\n"+`{"kind":"loop","path":"/dev/loop0"}`+"\n"+`{"kind":"process","pid":1,"start":1}`+"\n"), 0o600))
	must(t, os.Mkdir(filepath.Join(parent, "not-a-room"), 0o700))
	swept, err := Sweep(parent)
	if err != nil || len(swept) != 1 || swept[0] != other {
		t.Errorf("Sweep = %v, %v", swept, err)
	}
	if _, err := os.Stat(room.Dir()); err != nil {
		t.Errorf("a living room was swept: %v", err)
	}
	must(t, room.Close())
	if _, err := os.Stat(filepath.Join(parent, "not-a-room")); err != nil {
		t.Error(err)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	for _, mode := range []Mode{Reflink, Frozen} {
		b.Run(string(mode), func(b *testing.B) {
			p := openPool(b, mode)
			set := map[string]string{}
			for i := range 4 {
				volume := fmt.Sprint("v", i)
				at := newMounted(b, p, volume, Ext4)
				must(b, os.WriteFile(filepath.Join(at, "data"), make([]byte, 16<<20), 0o600))
				must(b, run(b.Context(), "sync", "-f", at))
				set[volume] = ""
			}
			n := 0
			for b.Loop() {
				for volume := range set {
					set[volume] = fmt.Sprint(volume, "-", n)
				}
				n++
				must(b, p.Snapshot(b.Context(), set))
				b.StopTimer()
				for _, snapshot := range set {
					must(b, p.DeleteSnapshot(b.Context(), snapshot))
				}
				b.StartTimer()
			}
		})
	}
}

// A room that is being made is nobody's yet, and stays.
func TestSweepLeavesARoomThatIsBeingMade(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, roomPrefix+"new")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, journalName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if swept, err := Sweep(parent); len(swept) > 0 || err != nil {
		t.Errorf("swept %v, %v", swept, err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dir, old, old); err != nil {
		t.Fatal(err)
	}
	if swept, err := Sweep(parent); len(swept) != 1 || err != nil {
		t.Errorf("an old one: swept %v, %v", swept, err)
	}
}
