package ecs

import "time"

// Completion tells whether a snapshot is accomplished, and since when it is or
// when it will be, whatever lists show yet.
func (e *ECS) Completion(id string) (done bool, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.snapshots[id]
	if s == nil {
		return false, time.Time{}
	}
	return s.state(time.Now()) == accomplished, s.done
}
