package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"outrider/policy"
)

// shownLines bounds what status says of one kind: with thousands of connections there are
// as many quotas and circuits.
const shownLines = 20

// printSome prints a list, the most urgent first, and those that are as calm as each other
// in the order in which they come.
func printSome[S any](w io.Writer, label string, list []S, urgency func(S) int, line func(S) string) {
	shown := slices.Clone(list)
	slices.SortStableFunc(shown, func(a, b S) int { return urgency(b) - urgency(a) })
	shown = shown[:min(len(shown), shownLines)]
	for _, s := range shown {
		fmt.Fprintf(w, "  %s\t%s\n", label, line(s))
	}
	if more := len(list) - len(shown); more > 0 {
		fmt.Fprintf(w, "  \tand %d more, all calmer\n", more)
	}
}

func quotaUrgency(q policy.QuotaStatus) int {
	urgency := q.Waiting*100 + q.Active
	if q.Utilization != nil {
		urgency += int(100 * *q.Utilization)
	}
	if q.Gate != nil {
		urgency += 1 << 20
	}
	return urgency
}

func circuitUrgency(c policy.CircuitStatus) int {
	return map[string]int{"open": 2, "half-open": 1}[c.State]
}

// printConnections says how many there are in each state, and which are in trouble.
func printConnections(w io.Writer, s *policy.ConnectionsStatus) {
	if s == nil {
		return
	}
	var states []string
	for _, state := range slices.Sorted(maps.Keys(s.States)) {
		states = append(states, fmt.Sprintf("%d %s", s.States[state], state))
	}
	fmt.Fprintf(w, "  connections\t%d configured, %d of the store in use\t%s\n", s.Configured, s.Used, strings.Join(states, ", "))
	for _, c := range s.First {
		if c.Error != "" || c.NotKept != "" {
			fmt.Fprintf(w, "  connection\t%s\t%s\n", c.Name, credentialState(c.CredentialStatus))
		}
	}
}
