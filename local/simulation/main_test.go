package simulation

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seed   = flag.Uint64("seed", 0, "tell the history of this seed")
	story  = flag.Bool("story", false, "tell every history with a violation")
	many   = flag.Int("n", 0, "live through so many random schedules")
	from   = flag.Uint64("from", firstSeed, "the first one's seed")
	span   = flag.Duration("for", 0, "end the random schedules after so long; 0: when all are done")
	pairs  = flag.Int("pairs", ciPairs, "live through so many pairs of faults; -1: through all of them")
	shards = flag.Int("shards", 0, "divide the work among so many processes")
	shard  = flag.Int("shard", 0, "which of them this one is, from 0")
	bare   = flag.Bool("summary", false, "print the summary as the last line")
	brief  = flag.Bool("brief", false, "end at the first violation")
	table  = flag.String("table", "", "where the coverage table is written")
)

// What a test run lives through besides all singles: always the same, so that
// it fails for what was changed and for nothing else.
const (
	firstSeed = 1
	ciSeeds   = 1500
	ciPairs   = 1500
)

// one of how many is tried when races are looked for.
func sparse() int {
	if raced {
		return 40
	}
	return 1
}

// Summary is the last line of `make simulate`.
type Summary struct {
	Runs          int     `json:"runs"`
	Violations    int     `json:"violations"`
	RunsPerSecond float64 `json:"runsPerSecond"`
	Seed          uint64  `json:"seed"`

	Coverage map[Cloud]Coverage `json:"coverage,omitempty"` // of a part
	Parts    []part             `json:"parts,omitempty"`
}

// of is the table of a cloud.
func (s *Summary) of(c Cloud) Coverage {
	if s.Coverage[c] == nil {
		s.Coverage[c] = Coverage{}
	}
	return s.Coverage[c]
}

// part is what one test contributed.
type part struct {
	Name       string `json:"name"`
	Runs       int    `json:"runs"`
	Violations int    `json:"violations"`
	Through    uint64 `json:"through,omitempty"` // the last seed up to which all were lived through
}

var (
	total   = Summary{Coverage: map[Cloud]Coverage{}}
	started time.Time
)

func TestMain(m *testing.M) {
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	debug.SetGCPercent(-1) // a run leaves nothing behind: what is collected is collected in bulk
	debug.SetMemoryLimit(1 << 30)
	runtime.MemProfileRate = 0
	started = time.Now()
	runtime.GOMAXPROCS(1) // a bubble's order is the seed's to decide, and not that of two processors
	if *shards > 1 && os.Getenv(partOf) == "" {
		os.Exit(divide(*shards))
	}
	code := m.Run()
	total.Seed = *from
	if os.Getenv(partOf) != "" {
		raw, _ := json.Marshal(total)
		fmt.Printf("%s%s\n", partOf, raw)
	} else if *bare {
		conclude(total)
	}
	os.Exit(code)
}

// partOf marks a process that does a part, and the line with what it did.
const partOf = "QUIESCE_SIMULATION_PART"

// divide lets processes of this very binary do a part each: within one process
// a bubble has one processor, so that its order is the seed's to decide.
func divide(n int) (code int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	sum := Summary{Seed: *from, Coverage: map[Cloud]Coverage{}}
	for i := range n {
		all.Go(func() {
			cmd := exec.Command(os.Args[0], append(os.Args[1:], "-shard="+strconv.Itoa(i))...)
			cmd.Env = append(os.Environ(), partOf+"=1", "GOMAXPROCS=1")
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				mu.Lock()
				code = 1
				mu.Unlock()
				return
			}
			lines := bufio.NewScanner(out)
			lines.Buffer(nil, 16<<20)
			whole := false
			for lines.Scan() {
				text, last := strings.CutPrefix(lines.Text(), partOf)
				mu.Lock()
				if last {
					var done Summary
					whole = json.Unmarshal([]byte(text), &done) == nil
					sum.Runs, sum.Violations = sum.Runs+done.Runs, sum.Violations+done.Violations
					for cloud, table := range done.Coverage {
						sum.of(cloud).Merge(table)
					}
					sum.Parts = merge(sum.Parts, done.Parts)
				} else if text != "PASS" && text != "" {
					fmt.Println(text)
				}
				mu.Unlock()
			}
			err = cmd.Wait()
			mu.Lock()
			defer mu.Unlock()
			if err != nil || !whole {
				code = 1
			}
		})
	}
	all.Wait()
	if *table != "" && code == 0 {
		if err := write(*table, sum); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	conclude(sum)
	return code
}

func merge(parts, more []part) []part {
	for _, p := range more {
		found := false
		for i := range parts {
			if parts[i].Name == p.Name {
				parts[i].Runs += p.Runs
				parts[i].Violations += p.Violations
				parts[i].Through = min(parts[i].Through, p.Through)
				found = true
			}
		}
		if !found {
			parts = append(parts, p)
		}
	}
	return parts
}

// conclude prints the last line.
func conclude(s Summary) {
	s.RunsPerSecond = float64(int(float64(s.Runs)/time.Since(started).Seconds()*10)) / 10
	s.Coverage, s.Parts = nil, nil
	raw, _ := json.Marshal(s)
	fmt.Println(string(raw))
}

// mine tells whether the i-th piece of work is this process's.
func mine(i int) bool { return i%sparse() == 0 && (*shards <= 1 || i/sparse()%*shards == *shard) }

// counted enters what a test does.
func counted(t *testing.T, h *History) {
	t.Helper()
	total.Runs++
	if len(h.Violations) > 0 {
		total.Violations++
	}
	total.of(h.Schedule.Setup.Cloud).Count(h)
}

// progress tells how far a long run has come.
func progress(i int) {
	fmt.Printf("shard %d: schedule %d (seed %d) after %s: %d runs, %d violations\n",
		*shard, i, *from+uint64(i), time.Since(started).Round(time.Second), total.Runs, total.Violations)
}
