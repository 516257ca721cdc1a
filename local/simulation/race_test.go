//go:build race

package simulation

// raced is a run that looks for races and tries fewer schedules: it costs ten
// times as much.
const raced = true
