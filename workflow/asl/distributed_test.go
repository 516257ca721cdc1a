package asl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const spread = `{"StartAt":"M","States":{"M":{"Type":"Map","Label":"L","MaxConcurrencyPath":"$.at","ToleratedFailureCountPath":"$.may",
	"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSON"},"Parameters":{"Bucket":"b","Key.$":"$.key"}},
	"ItemSelector":{"i.$":"$$.Map.Item.Index","v.$":"$$.Map.Item.Value","key.$":"$.key"},
	"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"A","States":{"A":{
		"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:123456789012:function:f","End":true}}},
	"ResultWriter":{"Resource":"arn:aws:states:::s3:putObject","Parameters":{"Bucket":"b","Prefix":"out"}},
	"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Z"}],"End":true},"Z":{"Type":"Pass","OutputPath":"$.Error","End":true}}}`

// shelf is S3, and a task that takes a second less 5 ms and fails for odd values.
type shelf struct {
	mu      sync.Mutex
	objects map[string]string
	at      []time.Time // when each task began
	running int
	most    int
}

func (s *shelf) Invoke(_ context.Context, resource string, input json.RawMessage) (json.RawMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var o struct{ Bucket, Key, Body string }
	switch {
	case strings.HasSuffix(resource, "s3:getObject"):
		if err := json.Unmarshal(input, &o); err != nil {
			return nil, err
		}
		body, ok := s.objects[o.Key]
		if !ok {
			return nil, &Error{"S3.NoSuchKeyException", o.Key}
		}
		return json.Marshal(map[string]string{"Body": body})
	case strings.HasSuffix(resource, "s3:putObject"):
		err := json.Unmarshal(input, &o)
		s.objects[o.Key] = o.Body
		return json.RawMessage("{}"), err
	}
	s.at = append(s.at, time.Now())
	s.running++
	s.most = max(s.most, s.running)
	s.mu.Unlock()
	time.Sleep(995 * time.Millisecond)
	s.mu.Lock()
	s.running--
	var item struct{ V int }
	if err := json.Unmarshal(input, &item); err != nil {
		return nil, err
	}
	if item.V%2 == 1 {
		return nil, &Error{"Odd", ""}
	}
	return input, nil
}

func list(n int, of func(int) int) string {
	v := make([]int, n)
	for i := range v {
		v[i] = of(i)
	}
	text, _ := json.Marshal(v)
	return string(text)
}

// counted reads the files that the manifest names.
func counted(t *testing.T, s *shelf) map[string]int {
	t.Helper()
	got := map[string]int{}
	for key, body := range s.objects {
		name, found := strings.CutPrefix(key, "out/")
		if _, name, _ = strings.Cut(name, "/"); !found || name == "manifest.json" {
			continue
		}
		var entries []map[string]any
		if err := json.Unmarshal([]byte(body), &entries); err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(name, "_")
		got[kind] += len(entries)
	}
	return got
}

func TestDistributedMap(t *testing.T) {
	even := func(i int) int { return 2 * i }
	oneOdd := func(i int) int { return 2*i + map[bool]int{true: 1}[i == 3] }
	for _, c := range []struct {
		name  string
		input string
		items string
		took  time.Duration
		want  map[string]int
		end   string
		most  int
	}{
		{"all at once, a hundred a second", `{"at":0,"may":0,"key":"in"}`, list(300, even), 3985 * time.Millisecond, map[string]int{"SUCCEEDED": 300}, "", 100},
		{"ten at a time", `{"at":10,"may":0,"key":"in"}`, list(30, even), 3075 * time.Millisecond, map[string]int{"SUCCEEDED": 30}, "", 10},
		{"one fails and may", `{"at":1,"may":1,"key":"in"}`, list(6, oneOdd), 5970 * time.Millisecond, map[string]int{"SUCCEEDED": 5, "FAILED": 1}, "", 1},
		{"one fails and may not", `{"at":1,"may":0,"key":"in"}`, list(6, oneOdd), 3980 * time.Millisecond, map[string]int{"SUCCEEDED": 3, "FAILED": 1, "PENDING": 2}, ExceedTolerated, 1},
		{"no such list", `{"at":1,"may":0,"key":"none"}`, `[]`, 0, map[string]int{}, readFailed, 0},
		{"no list", `{"at":1,"may":0,"key":"in"}`, `{}`, 0, map[string]int{}, "", 0},
		{"nothing to do", `{"at":1,"may":0,"key":"in"}`, `[]`, 0, map[string]int{}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shelf{objects: map[string]string{"in": c.items}}
				var mu sync.Mutex
				kin := map[string]int{}
				began := time.Now()
				out, err := parse(t, spread).Run(t.Context(), Execution{
					ID: "arn:aws:states:eu-west-1:123456789012:execution:fleet:x", MachineName: "fleet", MachineID: "arn:aws:states:eu-west-1:123456789012:stateMachine:fleet",
					Input: json.RawMessage(c.input), Tasks: s,
					Child: func(x Execution) Kin {
						if !strings.HasPrefix(x.ID, "arn:aws:states:eu-west-1:123456789012:execution:fleet/L:") || x.MachineName != "fleet/L" {
							t.Errorf("a child is called %s of %s", x.ID, x.MachineName)
						}
						return Kin{Observe: func(e Event) {
							mu.Lock()
							defer mu.Unlock()
							kin[e.Type]++
						}}
					}})
				if c.items == `{}` {
					var f *Failure
					if !errors.As(err, &f) || f.Name != Runtime {
						t.Errorf("got %s, %v", out, err)
					}
					return
				}
				if err != nil || c.end != "" && string(out) != `"`+c.end+`"` || c.end == "" && !strings.Contains(string(out), `"Key":"out/`) {
					t.Errorf("got %s, %v", out, err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if got := counted(t, s); fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("got %v, want %v", got, c.want)
				}
				if s.most != c.most || kin["ExecutionStarted"] != len(s.at) || kin["ExecutionSucceeded"] != c.want["SUCCEEDED"] || kin["ExecutionFailed"] != c.want["FAILED"] {
					t.Errorf("%d at once, histories %v", s.most, kin)
				}
			})
		})
	}
}

func TestStoppedMapStopsItsChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &shelf{objects: map[string]string{"in": list(50, func(i int) int { return 2 * i })}}
		time.AfterFunc(200*time.Millisecond, cancel)
		var work sync.WaitGroup
		began := time.Now()
		_, err := parse(t, spread).Run(ctx, Execution{Input: json.RawMessage(`{"at":0,"may":0,"key":"in"}`), Tasks: s, Work: &work})
		took := time.Since(began)
		work.Wait()
		var f *Failure
		if !errors.As(err, &f) || f.Status != Aborted || took != 200*time.Millisecond || len(s.at) < 19 || len(s.at) > 21 {
			t.Errorf("got %v after %v with %d children", err, took, len(s.at))
		}
	})
}

func TestDistributedMapRefusesTheRest(t *testing.T) {
	for _, c := range []struct{ old, replaced, want string }{
		{`"ExecutionType":"STANDARD"`, `"ExecutionType":"EXPRESS"`, "STANDARD is supported"},
		{`"Label":"L",`, ``, "wants 1-40 characters"},
		{`"InputType":"JSON"`, `"InputType":"CSV"`, "JSON is supported"},
		{`s3:getObject`, `s3:listObjectsV2`, "s3:getObject is supported"},
		{`"Prefix":"out"`, `"Folder":"out"`, "has no Prefix"},
		{`"Label":"L",`, `"Label":"L","ItemBatcher":{},`, "unknown field"},
		{`"Label":"L",`, `"Label":"L","ItemsPath":"$.x",`, "stands beside ItemsPath"},
		{`"Label":"L",`, `"Label":"L","MaxConcurrency":3,`, "stands beside MaxConcurrencyPath"},
		{`"Label":"L",`, `"Label":"L","ToleratedFailurePercentage":101,`, "wants 0-100"},
		{`"Mode":"DISTRIBUTED"`, `"Mode":"ELSEWHERE"`, "wants INLINE or DISTRIBUTED"},
		{`"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"`, `"Mode":"INLINE"`, "unknown field"},
	} {
		_, err := Parse([]byte(strings.Replace(spread, c.old, c.replaced, 1)), map[string]string{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.replaced, err, c.want)
		}
	}
}
