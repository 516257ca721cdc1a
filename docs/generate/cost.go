package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// measured is what one run used: `go test ./docs/generate -update` takes the
// numbers from a run of the deployed definition with the deployed handlers in
// virtual time, over the emulated account.
type measured struct {
	Latencies   map[string]string `json:"latencies"` // of the emulated services
	Transitions int               `json:"transitions"`
	Calls       []call            `json:"calls"`
	Events      int               `json:"events"`
	Metrics     int               `json:"metrics"`  // distinct ones, of one policy
	LogBytes    int               `json:"logBytes"` // of the functions
	History     int               `json:"historyBytes"`
	Snapshots   int               `json:"snapshots"`
}

// call is the calls of one function in the run.
type call struct {
	Function string `json:"function"`
	Times    int    `json:"times"`
	Ms       int    `json:"ms"` // together, each rounded up
	MiB      int    `json:"mib"`
}

// Prices in USD, us-east-1, without free tiers.
const (
	perTransition = 0.025 / 1000
	perRequest    = 0.20 / 1e6
	perGBs        = 0.0000133334 // arm64
	perEvent      = 1.00 / 1e6
	perGBLog      = 0.50
	perMetric     = 0.30 // a month
)

// platform is what Lambda itself writes to the log in each call: its lines
// START, END and REPORT. An assumption.
const platform = 400

func (m measured) gbSeconds() (sum float64) {
	for _, c := range m.Calls {
		sum += float64(c.Ms) / 1000 * float64(c.MiB) / 1024
	}
	return sum
}

func (m measured) requests() (n int) {
	for _, c := range m.Calls {
		n += c.Times
	}
	return n
}

// item is a line of the bill.
type item struct {
	what, uses, price string
	usd               float64
}

func (m measured) bill() []item {
	logs := m.LogBytes + m.requests()*platform
	return []item{
		{"Step Functions", fmt.Sprintf("%d transitions", m.Transitions), "$0.025 per 1,000", float64(m.Transitions) * perTransition},
		{"Lambda, time", fmt.Sprintf("%.2f GB-s", m.gbSeconds()), "$0.0000133334 per GB-s", m.gbSeconds() * perGBs},
		{"Lambda, requests", fmt.Sprintf("%d calls", m.requests()), "$0.20 per million", float64(m.requests()) * perRequest},
		{"EventBridge", fmt.Sprintf("%d events", m.Events), "$1.00 per million", float64(m.Events) * perEvent},
		{"logs of the functions", fmt.Sprintf("%.1f KB", float64(logs)/1000), "$0.50 per GB", float64(logs) / 1e9 * perGBLog},
		{"logs of the execution", fmt.Sprintf("%.1f KB", float64(m.History)/1000), "$0.50 per GB", float64(m.History) / 1e9 * perGBLog},
	}
}

func (m measured) perRun() (sum float64) {
	for _, i := range m.bill() {
		sum += i.usd
	}
	return sum
}

func cost(root string) (string, error) {
	var m measured
	if err := readJSON(filepath.Join(root, "docs", "generate", "measured.json"), &m); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| | one run uses | price | USD |\n|---|---|---|---|\n")
	for _, i := range m.bill() {
		fmt.Fprintf(&b, "| %s | %s | %s | %.6f |\n", i.what, i.uses, i.price, i.usd)
	}
	fmt.Fprintf(&b, "| **one run** | | | **%.6f** |\n| 1,000 instances, nightly, 30 days | 30,000 runs | | %.2f |\n", m.perRun(), m.perRun()*30000)
	fmt.Fprintf(&b, "| metrics of one policy, a month | at most %d | $0.30 each | %.2f |\n", m.Metrics, float64(m.Metrics)*perMetric)
	fmt.Fprintf(&b, "\nThe calls of that run:\n\n| function | calls | ms together | MiB | GB-s |\n|---|---|---|---|---|\n")
	for _, c := range m.Calls {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %.3f |\n", c.Function, c.Times, c.Ms, c.MiB, float64(c.Ms)/1000*float64(c.MiB)/1024)
	}
	return b.String(), nil
}
