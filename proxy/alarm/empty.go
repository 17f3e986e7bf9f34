package alarm

import (
	"fmt"

	"outrider/policy"
	"outrider/proxy/alert"
)

// resultsEmpty is an endpoint that answers with empty lists, and did not: nothing is wrong
// by its status, and everything is missing.
var resultsEmpty = alert.Rule{Name: "results-empty", Severity: alert.Warning}

func emptyTrouble(upstream string, e *policy.EmptyEndpoint, trace string) alert.Trouble {
	return alert.Trouble{
		Subject: marked(upstream, resultsMark, e.Name), Trace: trace, Calls: e.Run,
		Title:  e.Name + " finds nothing any more",
		Detail: fmt.Sprintf("the latest %d answers are empty lists, since %s; of %d before, %.0f %% were", e.Run, e.Since.Local().Format("15:04:05"), e.Of, 100*e.Usual),
		Action: "Look at what is asked for, at what its credential may see, and at what was deployed last. If it is so every day, look at upstream." + upstream + ".results.",
	}
}
