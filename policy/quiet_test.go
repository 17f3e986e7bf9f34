package policy_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"

	"outrider/policy"
	"outrider/policy/answer"
	"outrider/policy/policytest"
	"outrider/policy/preset"
)

// A quiet failure is an answer as a provider sends it, and what is said of it.
var quietFailures = []struct {
	preset, method, path string
	status               int
	body                 string
	want                 string // "": all is well
	class                policy.Class
}{
	{"slack", "POST", "/api/chat.postMessage", 200, `{"ok":false,"error":"ratelimited"}`, "throttled: ratelimited", policy.ClassThrottled},
	{"slack", "POST", "/api/chat.postMessage", 200, `{"ok":false,"error":"account_inactive"}`, "refused: account_inactive", policy.ClassAuth},
	{"slack", "POST", "/api/chat.postMessage", 200, `{"ok":false,"error":"fatal_error"}`, "fault: fatal_error", policy.ClassFault},
	{"slack", "POST", "/api/chat.postMessage", 200, `{"ok": false, "error":"channel_not_found"}`, "failed: ok: false", policy.ClassOK},
	{"slack", "GET", "/api/conversations.list", 200, `{"ok":true,"channels":[{"is_archived":false,"error":"ok"}]}`, "", policy.ClassOK},

	{"shopify", "POST", "/admin/api/2026-10/graphql.json", 200, `{"errors":[{"message":"Internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}`, "fault: INTERNAL_SERVER_ERROR", policy.ClassFault},
	{"shopify", "POST", "/admin/api/2026-10/graphql.json", 200, `{"errors":[{"message":"Field 'x' does not exist"}],"data":null}`, "failed: errors", policy.ClassOK},
	{"shopify", "POST", "/admin/api/2026-10/graphql.json", 200, `{"data":{"shop":{"name":"acme"},"order":null},"errors":[{"message":"no"}]}`, "partial: errors", policy.ClassOK},
	{"shopify", "POST", "/admin/api/2026-10/graphql.json", 200, `{"data":{"productCreate":{"userErrors":[{"field":"title","message":"can't be blank"}]}}}`, "failed: data.*.userErrors", policy.ClassOK},
	{"shopify", "POST", "/admin/api/2026-10/graphql.json", 200, `{"data":{"productCreate":{"userErrors":[]}}}`, "", policy.ClassOK},
	{"shopify", "GET", "/admin/api/2026-10/orders.json", 200, `{"errors":["no GraphQL"]}`, "", policy.ClassOK},

	{"github", "POST", "/graphql", 200, `{"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded"}]}`, "throttled: RATE_LIMITED", policy.ClassThrottled},
	{"github", "POST", "/graphql", 200, `{"data":{"repository":null},"errors":[{"type":"NOT_FOUND","path":["repository"]}]}`, "partial: errors", policy.ClassOK},
	{"github", "POST", "/graphql", 200, `{"errors":[{"message":"Parse error"}]}`, "failed: errors", policy.ClassOK},
	{"github", "GET", "/repos/a/b", 200, `{"errors":[{"type":"NOT_FOUND"}]}`, "", policy.ClassOK},

	{"salesforce", "POST", "/services/data/v67.0/composite", 200, `{"compositeResponse":[{"httpStatusCode":201},{"httpStatusCode":400,"body":[{"errorCode":"X"}]}]}`, "partial: compositeResponse.httpStatusCode >= 400", policy.ClassOK},
	{"salesforce", "POST", "/services/data/v67.0/composite", 200, `{"compositeResponse":[{"httpStatusCode":201},{"httpStatusCode":204}]}`, "", policy.ClassOK},
	{"salesforce", "POST", "/services/data/v67.0/composite/batch", 200, `{"hasErrors" : true,"results":[{"statusCode":404}]}`, "partial: hasErrors", policy.ClassOK},
	{"salesforce", "POST", "/services/data/v67.0/composite/batch", 200, `{"hasErrors":false,"results":[{"statusCode":200}]}`, "", policy.ClassOK},

	{"microsoft-graph", "POST", "/v1.0/$batch", 200, `{"responses":[{"id":"1","status":200},{"id":"2","status":429}]}`, "throttled: 429", policy.ClassThrottled},
	{"microsoft-graph", "POST", "/v1.0/$batch", 200, `{"responses":[{"id":"1","status":404}]}`, "partial: responses.status >= 400", policy.ClassOK},
	{"microsoft-graph", "POST", "/v1.0/$batch", 200, `{"responses":[{"id":"1","status":204}]}`, "", policy.ClassOK},

	{"hubspot", "POST", "/crm/v3/objects/contacts/batch/create", 207, `{"status":"COMPLETE","results":[{}],"numErrors":2,"errors":[{}]}`, "partial: numErrors", policy.ClassOK},
	{"hubspot", "POST", "/crm/v3/objects/contacts/batch/create", 201, `{"status":"COMPLETE","results":[{}]}`, "", policy.ClassOK},
}

func TestQuietFailuresAreTold(t *testing.T) {
	for _, q := range quietFailures {
		synctest.Test(t, func(t *testing.T) {
			rig := newRig(t, policytest.NewUpstream(t, jsonAnswer(q.status, q.body)))
			set := rig.compile(withPreset(q.preset)+presetNeeds(q.preset)+"retry.attempts = 1\n", nil)
			got, c := call(t, set, q.method, q.path, "")
			if got.Body != q.body || got.Status != q.status {
				t.Errorf("%s: the client got %d %s", q.body, got.Status, got.Body)
			}
			var told string
			for _, e := range rig.events {
				if e.Kind == policy.EventQuiet {
					told += e.Reason
				}
			}
			if told != q.want || c.Quiet() != q.want {
				t.Errorf("%s: told %q, and the call has %q; want %q", q.body, told, c.Quiet(), q.want)
			}
			ctx := policy.WithCall(t.Context(), c)
			if class := policy.Classify(ctx, &http.Response{StatusCode: q.status}, nil); class != q.class {
				t.Errorf("%s: class %s, want %s", q.body, class, q.class)
			}
		})
	}
}

func jsonAnswer(status int, body string) policytest.Step {
	return policytest.Step{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}

// presetNeeds is what a preset asks for that is nobody's here.
func presetNeeds(name string) string {
	if p, _ := preset.Find(name); p.Upstream["auth"] == nil {
		return ""
	}
	return "auth = { type = \"none\" }\n"
}

// An answer that says in its body that the provider failed is one of its failures.
func TestQuietFaultsOpenTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := jsonAnswer(200, `{"ok":false,"error":"internal_error"}`)
		fault.Times = -1
		set := newRig(t, policytest.NewUpstream(t, fault)).compile(withPreset("slack")+presetNeeds("slack")+"retry.attempts = 1\ncircuit.min_calls = 3\n", nil)
		for range 3 {
			if answer, _ := call(t, set, "GET", "/api/x", ""); answer.Status != 200 {
				t.Fatalf("answer %+v", answer)
			}
		}
		if answer, _ := call(t, set, "GET", "/api/x", ""); answer.Err == nil {
			t.Errorf("after three faults it is asked again: %+v", answer)
		}
	})
}

// A failure of the caller's own says that the provider is well.
func TestQuietFailuresOfTheCallerDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := jsonAnswer(200, `{"ok":false,"error":"channel_not_found"}`)
		failed.Times = -1
		provider := policytest.NewUpstream(t, failed)
		set := newRig(t, provider).compile(withPreset("slack")+presetNeeds("slack")+"circuit.min_calls = 3\n", nil)
		for range 10 {
			call(t, set, "GET", "/api/x", "")
		}
		if n := len(provider.Requests()); n != 10 {
			t.Errorf("%d requests for 10 calls", n)
		}
	})
}

// A failure is not kept for later, and a fault is a time for what was kept before.
func TestQuietFailuresAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, failed := jsonAnswer(200, `{"ok":true}`), jsonAnswer(200, `{"ok":false,"error":"channel_not_found"}`)
		fault := jsonAnswer(200, `{"ok":false,"error":"fatal_error"}`)
		set := newRig(t, policytest.NewUpstream(t, good, failed, fault)).
			compile(withPreset("slack")+presetNeeds("slack")+"stale_if_error = \"1h\"\nretry.attempts = 1\n", nil)
		for i, want := range []string{good.Body, failed.Body, good.Body} {
			answer, c := call(t, set, "GET", "/api/x", "")
			if answer.Body != want {
				t.Errorf("%d: %s, want %s", i, answer.Body, want)
			}
			if stale := c.Stale(); i == 2 && (stale == nil || stale.Reason != "fault") {
				t.Errorf("given for %+v", stale)
			}
		}
	})
}

// What the document may say that answers mean is what answers can mean.
func TestEveryMeaningCanBeWritten(t *testing.T) {
	for _, means := range answer.Meanings() {
		newRig(t, nil).compile(plain+fmt.Sprintf("answer = [{ status = 200, field = \"a\", means = %q }]", means), nil)
	}
}
