package ledger

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	socketName = "ledger.sock"
	acksName   = "ledger.acks"
	logName    = "ledger.log"
	ready      = "ready"
	// PauseLimit is how long a pause waits for the record under way.
	PauseLimit = 8 * time.Second
)

// MonotonicClock is CLOCK_MONOTONIC, the one that the helper's evidence is in.
func MonotonicClock() (int64, time.Time) {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return ts.Nano(), time.Now()
}

// Serve is the writer's process: `--dir DIR [--pace D] [--load BYTES] MOUNT...`.
// It ends when ctx does or when life, its standard input, is closed, which
// happens when its starter dies. A process of its own, because a writer that is
// blocked by a freeze cannot even be killed.
func Serve(ctx context.Context, args []string, life io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("ledger serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dir := flags.String("dir", "", "private directory for the socket and the acknowledgements")
	pace := flags.Duration("pace", 0, "rest between two records")
	load := flags.Int64("load", 0, "bytes a second of buffered writes besides")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" || flags.NArg() == 0 {
		return errors.New("ledger serve wants --dir and at least one mount")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, life)
		stop()
	}()
	acks, err := os.OpenFile(filepath.Join(*dir, acksName), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer acks.Close()
	var volumes []Appender
	for _, mount := range flags.Args() {
		v, err := openVolume(mount)
		if err != nil {
			return err
		}
		defer v.file.Close()
		volumes = append(volumes, v)
	}
	started := false
	w := NewWriter(MonotonicClock, volumes, *pace, func(a Ack) error {
		if _, err := acks.Write(a.encode()); err != nil || started {
			return err
		}
		started = true
		_, err := fmt.Fprintln(out, ready)
		return err
	})
	listener, err := net.Listen("unix", filepath.Join(*dir, socketName))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	go w.listen(ctx, listener)
	if *load > 0 {
		for _, mount := range flags.Args() {
			go burden(ctx, filepath.Join(mount, "load"), *load/int64(flags.NArg()))
		}
	}
	return w.Run(ctx)
}

// volume is a ledger on a mounted filesystem.
type volume struct{ file *os.File }

func openVolume(mount string) (*volume, error) {
	file, err := os.OpenFile(filepath.Join(mount, FileName), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(mount)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	defer dir.Close()
	return &volume{file}, dir.Sync() // else the file's name could be lost with its records
}

// Append writes a record and waits until it is on the device.
func (v *volume) Append(record []byte) error {
	if _, err := v.file.Write(record); err != nil {
		return err
	}
	return v.file.Sync()
}

const (
	burdenChunk = 256 << 10
	burdenSize  = 64 << 20
)

// burden dirties the page cache at a rate, as an application's unsynced writes
// do: they are what a freeze has to flush. It gives up when the disk is full.
func burden(ctx context.Context, path string, rate int64) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer file.Close()
	chunk := make([]byte, burdenChunk)
	for i := range chunk {
		chunk[i] = byte(i * 31)
	}
	tick := time.NewTicker(max(time.Millisecond, time.Duration(burdenChunk*int64(time.Second)/max(rate, 1))))
	defer tick.Stop()
	for at := int64(0); ; at = (at + burdenChunk) % burdenSize {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if _, err := file.WriteAt(chunk, at); err != nil {
			return
		}
	}
}

type ask struct {
	Verb string `json:"verb"` // pause, resume, state
	Run  string `json:"run"`
}

type answer struct {
	Error   string   `json:"error,omitempty"`
	Last    Ack      `json:"last"`
	Holders []string `json:"holders,omitempty"`
}

func (w *Writer) listen(ctx context.Context, listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed: the writer ends
		}
		go func() {
			defer conn.Close()
			_ = json.NewEncoder(conn).Encode(w.answer(ctx, conn)) // who hung up needs none
		}()
	}
}

func (w *Writer) answer(ctx context.Context, conn io.Reader) answer {
	var q ask
	if err := json.NewDecoder(conn).Decode(&q); err != nil {
		return answer{Error: err.Error()}
	}
	var a answer
	switch q.Verb {
	case "pause":
		ctx, cancel := context.WithTimeout(ctx, PauseLimit)
		defer cancel()
		if _, err := w.Pause(ctx, q.Run); err != nil {
			a.Error = err.Error()
		}
	case "resume":
		w.Resume(q.Run)
	case "state":
	default:
		a.Error = fmt.Sprintf("%q is neither pause nor resume nor state", q.Verb)
	}
	a.Last, a.Holders = w.State()
	return a
}

// Client is the scripts' side: `pause|resume|state SOCKET RUN`. It succeeds
// only when the writer has confirmed.
func Client(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("ledger wants pause, resume or state, a socket and a run")
	}
	a, err := call(ctx, args[1], ask{Verb: args[0], Run: args[2]})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: record %d, held by [%s]\n", args[0], a.Last.N, strings.Join(a.Holders, " "))
	return err
}

func call(ctx context.Context, socket string, q ask) (answer, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return answer{}, fmt.Errorf("the ledger does not answer: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.NewDecoder(bufio.NewReader(conn)).Decode(&a); err != nil {
		return answer{}, fmt.Errorf("the ledger broke off: %w", err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("ledger: %s", a.Error)
	}
	return a, nil
}
