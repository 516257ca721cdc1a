package run

import "github.com/quiesce/quiesce/shared/protocol"

// Application is what the helper is told of the plan's application.
func (p Plan) Application() protocol.Application {
	a := p.Policy.Application
	return protocol.Application{
		Kind:                   a.Kind,
		PreScript:              a.PreScript,
		PostScript:             a.PostScript,
		TimeoutSeconds:         a.TimeoutSeconds,
		Retries:                a.Retries,
		Socket:                 a.Socket,
		OptionFile:             a.OptionFile,
		Mode:                   a.Mode,
		FTWRLWaitTimeout:       a.FTWRLWaitTimeout,
		FTWRLWaitThreshold:     a.FTWRLWaitThreshold,
		FTWRLWaitQueryType:     a.FTWRLWaitQueryType,
		KillLongQueriesTimeout: a.KillLongQueriesTimeout,
		KillLongQueryType:      a.KillLongQueryType,
	}
}
