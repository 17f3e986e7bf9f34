package alert

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// TestRule is the rule of messages that only try the way to a target.
var TestRule = Rule{Name: "test", Severity: Warning}

// A TestResult says whether a target took a test message.
type TestResult struct {
	Target string `json:"target"` // its host; "": its URL cannot be read
	Kind   string `json:"kind,omitempty"`
	Error  string `json:"error,omitempty"` // "": it took it
}

// Test sends each target a message, once and at once, and says which of them took it. At
// PagerDuty it makes an incident, which is resolved right after.
func (n *Notifier) Test(ctx context.Context) []TestResult {
	now := time.Now()
	begin := Alert{Rule: TestRule.Name, Severity: TestRule.Severity, Subject: "outrider", Title: "A test of the notifications",
		Detail: "somebody ran outrider alerts test", Action: "Nothing: alerts arrive.", Since: now, Count: 1}
	end := begin
	end.Ended = &now
	queues := n.list()
	results := make([]TestResult, len(queues))
	var all sync.WaitGroup
	for i, q := range queues {
		all.Go(func() { results[i] = n.test(ctx, q, begin, end) })
	}
	all.Wait()
	return results
}

func (n *Notifier) test(ctx context.Context, q *queue, begin, end Alert) TestResult {
	t, err := q.target()
	if err != nil {
		return TestResult{Error: err.Error()}
	}
	alerts := []Alert{begin}
	if t.kind == pagerDuty {
		alerts = append(alerts, end)
	}
	result := TestResult{Target: t.host, Kind: t.kind.String()}
	for _, message := range t.messages(report{Source: n.settings().Source, Alerts: alerts}) {
		_, err := n.try(ctx, t, "msg_"+rand.Text(), message)
		q.tried(err)
		if err != nil {
			result.Error = err.Error()
			break
		}
	}
	return result
}
