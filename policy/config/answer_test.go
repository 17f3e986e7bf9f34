package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"outrider/policy/config"
	"outrider/policy/quota"
)

// answersOf are what the answers of an upstream, and of its rules, mean.
func answersOf(t *testing.T, document string) (own []config.Answer, rules [][]config.Answer) {
	t.Helper()
	u := upstream(t, mustParse(t, document), "x")
	for _, r := range u.Rules {
		rules = append(rules, r.Answers)
	}
	return u.Answers, rules
}

var (
	lockTimeout = config.Answer{Statuses: []int{429}, Field: "error.code", Values: []string{"lock_timeout"}, Means: "busy"}
	secondary   = config.Answer{Statuses: []int{403, 429}, Header: "X-Reason", Contains: []string{"secondary"}, Means: "throttled", Wait: time.Minute}
)

const secondaryTable = `{ status = [403, 429], header = "X-Reason", contains = ["secondary"], means = "throttled", wait = "60s" }`

func TestAnswersStandInFrontOfThePresets(t *testing.T) {
	for name, test := range map[string]struct {
		document string
		want     []config.Answer
	}{
		"the preset's":               {`upstream.x = { preset = "stripe" }`, []config.Answer{lockTimeout}},
		"in front of the preset's":   {`upstream.x = { preset = "stripe", answer = [` + secondaryTable + `] }`, []config.Answer{secondary, lockTimeout}},
		"none":                       {`upstream.x = { preset = "stripe", answer = [] }`, nil},
		"the preset's, pasted again": {"[upstream.x]\npreset = \"stripe\"\n[[upstream.x.answer]]\nstatus = 429\nfield = \"error.code\"\nvalues = [\"lock_timeout\"]\nmeans = \"busy\"\n", []config.Answer{lockTimeout}},
		"without a preset":           {`upstream.x = { url = "https://x.example.com" }`, nil},
	} {
		if got, _ := answersOf(t, test.document); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

func TestAnswersOfARuleStandInFrontOfItsUpstreams(t *testing.T) {
	own, rules := answersOf(t, `
[upstream.x]
url    = "https://x.example.com"
answer = [`+secondaryTable+`]

[[upstream.x.rule]]
match  = "POST"
answer = [{ status = 429, field = "error.code", values = ["lock_timeout"], means = "busy" }]

[[upstream.x.rule]]
match = "GET"

[[upstream.x.rule]]
match  = "PUT"
answer = []
`)
	if want := []config.Answer{secondary}; !reflect.DeepEqual(own, want) {
		t.Errorf("upstream: got %+v, want %+v", own, want)
	}
	if want := [][]config.Answer{{lockTimeout, secondary}, {secondary}, nil}; !reflect.DeepEqual(rules, want) {
		t.Errorf("rules: got %+v, want %+v", rules, want)
	}
}

// config.toml lists the dialects that there are.
func TestReferenceNamesEveryDialect(t *testing.T) {
	for _, name := range quota.Names() {
		if !strings.Contains(reference(t), name) {
			t.Errorf("config.toml does not name %s", name)
		}
	}
}

// What is learned alone is the limit of an upstream that has no other.
func TestLimitIsLearnedWhereNoneIsWritten(t *testing.T) {
	learned := config.Limit{MaxWait: 30 * time.Second, MaxQueue: 10000, Shape: "auto", Learn: true, Dialect: "auto", Per: "credential"}
	spoken := learned
	spoken.Dialect = "milliseconds"
	for document, want := range map[string][]config.Limit{
		`upstream.x = { url = "https://x.example.com" }`:                                       {learned},
		`upstream.x = { preset = "slack" }`:                                                    {learned},
		`upstream.x = { url = "https://x.example.com", limit = { dialect = "milliseconds" } }`: {spoken},
		`upstream.x = { url = "https://x.example.com", limit = [] }`:                           nil,
	} {
		if got := upstream(t, mustParse(t, document), "x").Limits; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", document, got, want)
		}
	}
}
