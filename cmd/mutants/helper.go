package main

// ofHelper are bugs of the helper's state machine, and of the simulated machine
// where the kernel's word is taken.
var ofHelper = []Mutant{
	{
		Name: "guards-armed-after-the-freeze",
		File: "guest/session/freeze.go",
		Old: `	if err := each(vols, func(v *volume) error { return s.arm(ctx, v, end) }); err != nil {
		return s.why(err)
	}
	if err := Late(req, s.host.Stamp().Wall); err != nil {
		return err
	}
	for _, layer := range layers(vols) {
		if err := each(layer, func(v *volume) error { return s.freezeOne(ctx, v) }); err != nil {
			return s.why(err)
		}
	}
`,
		New: `	if err := Late(req, s.host.Stamp().Wall); err != nil {
		return err
	}
	for _, layer := range layers(vols) {
		if err := each(layer, func(v *volume) error { return s.freezeOne(ctx, v) }); err != nil {
			return s.why(err)
		}
	}
	if err := each(vols, func(v *volume) error { return s.arm(ctx, v, end) }); err != nil {
		return s.why(err)
	}
`,
		Danger: "between the freeze and the guard nothing stands behind the freeze: whoever dies there leaves it for good",
		Near:   "freeze/arm",
		Try:    "slowness=60s freeze/arm:kill-helper thaw/rescue:stall thaw/rescue:stall@2 thaw/rescue:stall@3 thaw/rescue:stall@4",
	},
	{
		Name:   "guards-never-armed",
		File:   "guest/session/freeze.go",
		Old:    "	if err := v.Arm(ctx, end); err != nil {\n		return err\n	}\n",
		New:    "",
		Danger: "the one failsafe that outlives the helper is missing",
		Near:   "thaw/thaw,thaw/held,freeze/frozen,thaw/rescue,kill-helper",
	},
	{
		Name:   "guards-armed-for-the-session",
		File:   "guest/session/freeze.go",
		Old:    "return s.arm(ctx, v, end) })",
		New:    "return s.arm(ctx, v, s.rec.EndsAt) })",
		Danger: "a helper that hangs keeps the filesystem frozen for the whole session, not for the policy's seconds",
		Near:   "thaw/thaw:stall,thaw/held",
	},
	{
		Name:   "deadline-of-minutes",
		File:   "guest/session/freeze.go",
		Old:    "time.Duration(s.rec.Begin.FreezeSeconds)*time.Second)",
		New:    "time.Duration(s.rec.Begin.FreezeSeconds)*time.Minute)",
		Danger: "the deadline that the policy sets in seconds is taken for minutes",
		Near:   "snapshot:hang,snapshot/CreateSnapshots:slow,thaw:,freeze/frozen:stall",
	},
	{
		Name:   "freeze-outer-first",
		File:   "guest/session/freeze.go",
		Old:    "return b.About().Depth - a.About().Depth",
		New:    "return a.About().Depth - b.About().Depth",
		Danger: "the inner freeze hangs behind the outer one, in a call that nothing ends",
	},
	{
		Name:   "freeze-that-hangs-is-forgotten",
		File:   "guest/session/freeze.go",
		Old:    "		v.frozen = errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)\n",
		New:    "		v.frozen = false\n",
		Danger: "a freeze call that was given up on ends up frozen, after its guard was sent home",
		Near:   "freeze/freez,freeze/frozen",
	},
	{
		Name:   "undo-does-not-wait",
		File:   "guest/session/thaw.go",
		Old:    "	err := s.thawAll()\n	if err == nil {\n		s.closeVolumes()\n",
		New:    "	go s.thawAll()\n	err := error(nil)\n	if err == nil {\n		s.closeVolumes()\n",
		Danger: "the undo sends its guards home before the freeze call has ended, which then stands",
		Near:   "freeze/freez,freeze/frozen,freeze/blocked",
	},
	{
		Name:   "undo-sends-guards-home-unthawed",
		File:   "guest/session/thaw.go",
		Old:    "	err := s.thawAll()\n	if err == nil {\n		s.closeVolumes()\n		s.note(func(e *protocol.Evidence) { e.Phase = protocol.Quiesced })\n	}\n",
		New:    "	err := s.thawAll()\n	s.closeVolumes()\n	s.note(func(e *protocol.Evidence) { e.Phase = protocol.Quiesced })\n",
		Danger: "where the undo could not thaw, nobody is left who will",
		Near:   "freeze/freez,freeze/frozen,freeze/blocked,thaw/thaw",
		Try:    "freeze/blocked:refuse thaw/thaw:refuse; freeze/blocked:refuse thaw/thaw:refuse thaw/thaw:refuse@2",
	},
	{
		Name:   "begin-accepts-a-second-run",
		File:   "guest/session/helper.go",
		Old:    "		if req.Verb != protocol.Thaw && req.Verb != protocol.Status {\n			return nil, failed(busy(s.run))\n		}\n",
		New:    "",
		Danger: "two runs hold one machine, and the first one's session is lost",
	},
	{
		Name:   "replay-forgotten",
		File:   "guest/session/session.go",
		Old:    "	c, again := s.calls[req.Verb]\n	if !again {\n",
		New:    "	c, again := s.calls[req.Verb]\n	again = false\n	if !again {\n",
		Danger: "a command that is delivered twice does its work twice",
		Near:   "duplicate,lost-reply,crash-after,slow",
	},
	{
		Name:   "ended-run-begins-again",
		File:   "guest/session/helper.go",
		Old:    "	if rec != nil {\n		return nil, recorded(*rec, req.Verb)\n	}\n",
		New:    "	if rec != nil && !opens {\n		return nil, recorded(*rec, req.Verb)\n	}\n",
		Danger: "a begin that comes after the thaw quiesces the application again, and nobody releases it",
		Try:    "lateness=20s run-prescript:late run-prescript/GetCommandInvocation:deny",
	},
	{
		Name:   "early-thaw-not-remembered",
		File:   "guest/session/helper.go",
		Old:    "	if req.Verb == protocol.Thaw {\n		now := h.host.Stamp()\n",
		New:    "	if false {\n		now := h.host.Stamp()\n",
		Danger: "the begin that a thaw overtook opens a session that nobody ends",
		Try:    "lateness=20s run-prescript:late run-prescript/GetCommandInvocation:deny",
	},
	{
		Name:   "record-after-the-quiesce",
		File:   "guest/session/begin.go",
		Old:    "	// The record comes first: whoever recovers must know that it was begun.\n	if err := s.save(); err != nil {\n		return err\n	}\n",
		New:    "",
		Danger: "whoever recovers from a helper that died in the quiesce does not know that there is something to release",
		Near:   "run-prescript/,kill-helper",
	},
	{
		Name:   "session-without-an-end",
		File:   "guest/session/session.go",
		Old:    `	s.timers = append(s.timers, time.AfterFunc(life, func() { s.expire("deadline") }))` + "\n",
		New:    "",
		Danger: "an application whose run is gone stays at rest until somebody looks",
		Near:   "run-prescript:,thaw:,janitor,stop-execution,agent",
	},
	{
		Name:   "keeper-leaves-the-application",
		File:   "guest/session/recover.go",
		Old:    "	if a := e.Application; a != nil && a.Kind != byDocument && a.ReleasedAt.IsZero() && a.Post == nil {\n",
		New:    "	if a := e.Application; a != nil && a.Kind != byDocument && a.ReleasedAt.IsZero() && a.Post == nil && failure != nil {\n",
		Danger: "after the helper's death the application stays at rest",
		Near:   "kill-helper",
	},
	{
		Name:   "application-believed-held",
		File:   "guest/session/begin.go",
		Old:    "		err := s.app.StillHeld(ctx)\n",
		New:    "		err := error(nil)\n",
		Danger: "a lock that was lost during the snapshot is called held",
		Near:   "kill-session",
	},
	{
		Name:   "application-not-released-after-a-lost-hold",
		File:   "guest/session/thaw.go",
		Old:    "	s.release(thawErr == nil)\n",
		New:    "	if len(s.reply(nil).Evidence.Lost) == 0 {\n		s.release(thawErr == nil)\n	}\n",
		Danger: "whoever breaks the hold leaves the application at rest",
		Near:   "foreign,kill-guard,kill-session",
	},
	{
		Name:   "application-released-first",
		File:   "guest/session/begin.go",
		Old:    "	held, err := s.quiesce(app)\n	if err != nil {\n		s.note(",
		New:    "	held, err := s.quiesce(app)\n	if err == nil && app.Kind == \"script\" {\n		_, err = s.app.Release(s.work)\n	}\n	if err != nil {\n		s.note(",
		Danger: "the post-script runs before the freeze, and the set is called application-consistent",
	},
	{
		Name:   "strangers-freeze-taken-for-ours",
		File:   "local/sim/held.go",
		Old:    "	thaws, err := v.f.freeze(v.run, \"\")\n	if err != nil {\n",
		New:    "	thaws, err := v.f.freeze(v.run, \"\")\n	if err != nil && !errors.Is(err, syscall.EBUSY) {\n",
		Danger: "EBUSY is taken as success: what somebody else froze is counted as held, and thawed from under him",
		Near:   "foreign-freeze",
	},
	{
		Name:   "tripwire-not-awaited",
		File:   "guest/session/freeze.go",
		Old:    "	if err := each(vols, func(v *volume) error { return s.seeBlocked(ctx, v) }); err != nil {\n		return s.why(err)\n	}\n",
		New:    "",
		Danger: "the hold is named before anybody has seen that nothing gets through",
		Near:   "freeze/,foreign",
	},
	{
		Name:   "tripwire-blind",
		File:   "local/sim/filesystem.go",
		Old:    "	f.frozen, f.owner = false, \"\"\n	f.thaws++\n	f.tell()\n	return nil\n",
		New:    "	f.frozen, f.owner = false, \"\"\n	f.tell()\n	return nil\n",
		Danger: "a thaw and a freeze by somebody else in between is not seen, as FITHAW alone does not see it",
		Near:   "foreign-thaw",
	},
}
