package states

import "encoding/json"

// The answers to a task that waits for its token have an empty reply.

func (s *States) succeed(in input) (any, error) {
	return struct{}{}, s.engine.Succeed(in.TaskToken, json.RawMessage(in.Output))
}

func (s *States) fail(in input) (any, error) {
	return struct{}{}, s.engine.Fail(in.TaskToken, in.Error, in.Cause)
}

func (s *States) beat(in input) (any, error) {
	return struct{}{}, s.engine.Beat(in.TaskToken)
}
