package simulator

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// quietAnswers maps name → the body of an answer whose status says that all is well, and
// that says itself that it is not.
var quietAnswers = map[string]string{
	"graphql":         `{"errors":[{"message":"Field 'nmae' doesn't exist on type 'Shop'"}],"data":null}`,
	"graphql-partial": `{"data":{"viewer":{"login":"demo"},"repository":null},"errors":[{"type":"NOT_FOUND","path":["repository"]}]}`,
	"graphql-user":    `{"data":{"productCreate":{"product":null,"userErrors":[{"field":["title"],"message":"Title can't be blank"}]}}}`,
	"salesforce":      `{"compositeResponse":[{"body":{"id":"001","success":true},"httpStatusCode":201,"referenceId":"a"},{"body":[{"errorCode":"INVALID_EMAIL_ADDRESS"}],"httpStatusCode":400,"referenceId":"b"}]}`,
	"graph-batch":     `{"responses":[{"id":"1","status":200,"body":{}},{"id":"2","status":404,"body":{"error":{"code":"itemNotFound"}}}]}`,
	"dynamodb-batch":  `{"UnprocessedItems":{"orders":[{"PutRequest":{"Item":{"id":{"S":"1"}}}}]}}`,
	"elastic-bulk":    `{"took":3,"errors":true,"items":[{"index":{"_id":"1","status":201}},{"index":{"_id":"2","status":429}}]}`,
	"empty":           `{"data":[]}`,
	quietSlack:        "", // see slackError
}

const quietSlack = "slack"

// quietNames are the names of what is answered quietly, sorted.
func quietNames() []string { return slices.Sorted(maps.Keys(quietAnswers)) }

// quiet fails with status 200. Calls that are spared have an answer that says no more than
// that it is one, and a list with something in it.
func quiet(s *Simulator, w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r)
	word, plan := p.text("error", "channel_not_found"), s.planOf(p, r.URL.Path, -1)
	if p.refused(w) {
		return
	}
	drain(r)
	name, _, _ := strings.Cut(below(r, "/quiet/"), "/")
	body, ok := quietAnswers[name]
	if !ok {
		respond(w, http.StatusNotFound, problem{Error: "no such quiet failure", Hint: "there are " + strings.Join(quietNames(), ", ")})
		return
	}
	call, fails := s.plans.next(plan)
	switch {
	case !fails:
		respond(w, http.StatusOK, filled{fine{true, call}, []int{call}})
	case name == quietSlack:
		respond(w, http.StatusOK, slackError{false, word})
	default:
		respondBytes(w, http.StatusOK, "application/json", []byte(body+"\n"))
	}
}

// filled is the answer of a call that finds something.
type filled struct {
	fine
	Data []int `json:"data"`
}

// slackError is how Slack says that a call has failed.
type slackError struct {
	OK    bool   `json:"ok"`
	Error string `json:"error"`
}
