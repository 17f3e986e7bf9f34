package policy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
)

const shop = "[upstream.api]\nurl = \"https://api.test\"\npreset = \"shopify\"\nauth = { type = \"none\" }\n"

// queried is a good answer to a query that may have taken 100 points and took 40, of 1000.
func queried(left int) policytest.Step {
	return policytest.Step{Header: http.Header{"Content-Type": {"application/json"}}, Body: fmt.Sprintf(
		`{"data":{},"extensions":{"cost":{"requestedQueryCost":100,"actualQueryCost":40,"throttleStatus":{"maximumAvailable":1000,"currentlyAvailable":%d,"restoreRate":50}}}}`, left)}
}

// A shop was asked until it had refused a query, since only refusals told of points. Now
// the first good answer is enough, and calls of REST wait for nothing.
func TestQueriesArePacedByWhatGoodAnswersSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := policytest.NewUpstream(t, queried(50), policytest.Step{}, queried(60))
		set := newRig(t, provider).compile(shop, nil)
		const graphql, rest = "/admin/api/2026-10/graphql.json", "/admin/api/2026-10/products.json"
		if answer, _ := call(t, set, "POST", graphql, "{}"); answer.Body != queried(50).Body {
			t.Errorf("the answer came as %q", answer.Body)
		}
		said, err := set.Explain(t.Context(), "POST", "/api"+graphql, "")
		if want := "sent in 1.000 s: graphql of api.test has 50 points left of the 100 that a call needs, and comes back little by little"; err != nil || said.Verdict != want {
			t.Errorf("explain says %q, %v; want %q", said.Verdict, err, want)
		}
		if answer, _ := call(t, set, "GET", rest, ""); answer.Took != 0 {
			t.Errorf("a call of REST waited for %v", answer.Took)
		}
		if answer, _ := call(t, set, "POST", graphql, "{}"); answer.Took != time.Second || answer.Body != queried(60).Body {
			t.Errorf("the second query: %+v", answer)
		}
		for _, q := range set.Status()[0].Quotas {
			if q.Bucket != "" && (q.Bucket != "graphql" || q.Learned.Unit != "points" || q.Learned.Limit != 1000 || q.Learned.Window != 20 || q.Learned.Each != 100) {
				t.Errorf("known of %s: %+v", q.Bucket, q.Learned)
			}
		}
	})
}

// Without a preset or a table that asks for it, no good body is looked at.
func TestPointsAreNotLookedForUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := policytest.NewUpstream(t, queried(0))
		set := newRig(t, provider).compile(strings.Replace(shop, "preset = \"shopify\"\n", "", 1), nil)
		call(t, set, "POST", "/graphql.json", "{}")
		if quotas := set.Status()[0].Quotas; len(quotas) != 1 || quotas[0].Bucket != "" {
			t.Errorf("learned %+v", quotas)
		}
	})
}

// A query that was throttled goes again although it is a POST, and explain says so; whoever
// wants no retry of a 429 has none of it either.
func TestExplainSaysThatAThrottledQueryGoesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for statuses, again := range map[string]bool{"": true, "retry.statuses = [503]\n": false} {
			said, err := newRig(t, policytest.NewUpstream(t)).compile(shop+statuses, nil).Explain(t.Context(), "POST", "/api/graphql.json", "")
			if err != nil {
				t.Fatal(err)
			}
			row := said.Retries[3]
			if found := row.When == "answered THROTTLED by GraphQL, with its cost"; found != again || found && !row.Retry {
				t.Errorf("with %q: %+v", statuses, row)
			}
		}
	})
}
