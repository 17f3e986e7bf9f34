package config_test

import (
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"outrider/policy/config"
)

// referencePath is the commented reference at the root of the module.
const referencePath = "../../config.toml"

func reference(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// switchedOff is a setting that is commented out: "#" with no blank behind it.
var switchedOff = regexp.MustCompile(`(?m)^#([^ #\n])`)

func switchedOn(document string) string { return switchedOff.ReplaceAllString(document, "$1") }

func TestReferenceAsItStandsIsTheDefault(t *testing.T) {
	got := mustParse(t, reference(t))
	if want := config.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("config.toml says\n%+v\nthe defaults are\n%+v", got, want)
	}
}

func TestEmptyDocumentIsTheDefault(t *testing.T) {
	if got, want := mustParse(t, ""), config.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReferenceExamplesParse(t *testing.T) {
	f := mustParse(t, switchedOn(reference(t)))
	var names []string
	for _, u := range f.Upstreams {
		names = append(names, u.Name)
	}
	if got, want := strings.Join(names, " "), "bucket calendar crm federated github pod robot sales shopify signed stripe tables weather"; got != want {
		t.Errorf("upstreams: %s, want %s", got, want)
	}
	if len(f.Warnings) > 0 {
		t.Errorf("the examples earn warnings: %q", f.Warnings)
	}
	if got := len(upstream(t, f, "weather").Limits); got != 2 {
		t.Errorf("weather has %d limits, want 2", got)
	}
}

// The reference shows the default beside each key. What an upstream has that
// says nothing has to be the same.
func TestReferenceShowsTheDefaultsOfAnUpstream(t *testing.T) {
	shown := *upstream(t, mustParse(t, switchedOn(reference(t))), "crm")
	silent := *upstream(t, mustParse(t, `upstream.crm.url = "https://crm.example.com"`), "crm")
	silentLimit := upstream(t, mustParse(t, `upstream.crm = { url = "https://crm.example.com", limit = { rate = "100/s", concurrency = 25 } }`), "crm").Limits

	if !reflect.DeepEqual(shown.Limits, silentLimit) {
		t.Errorf("limit: config.toml shows %+v, the default is %+v", shown.Limits, silentLimit)
	}
	if len(shown.Answers) != 5 || silent.Answers != nil {
		t.Errorf("answers: config.toml shows %+v, the default is %+v", shown.Answers, silent.Answers)
	}
	// These have no default that could be shown.
	shown.Rules, shown.Limits, shown.Answers, shown.Hosts = nil, silent.Limits, nil, silent.Hosts
	if !reflect.DeepEqual(shown, silent) {
		t.Errorf("config.toml shows\n%+v\nthe default is\n%+v", shown, silent)
	}
}

func TestReferenceHasEveryKey(t *testing.T) {
	var document map[string]any
	if _, err := toml.Decode(switchedOn(reference(t)), &document); err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	collect(document, "", written)
	for _, path := range config.KnownKeys() {
		if path == "upstream.NAME.rule.circuit" {
			continue // known only to explain why it is wrong
		}
		// What a rule's tables take is shown where the upstream has them.
		path = regexp.MustCompile(`\.rule\.(auth|limit|answer|retry)\.`).ReplaceAllString(path, ".$1.")
		// And so is what a connection takes, but for its url.
		path = strings.Replace(path, ".connection.NAME.url", ".connection.acme.url", 1)
		path = strings.Replace(path, ".connection.NAME.", ".auth.", 1)
		path = strings.Replace(path, "alerts.rule.NAME.", "alerts.rule.quota-low.", 1)
		if !written[path] {
			t.Errorf("config.toml lacks %s", path)
		}
	}
}

// collect notes the path of every key, with NAME for the name of an upstream.
func collect(value any, path string, into map[string]bool) {
	into[path] = true
	switch v := value.(type) {
	case map[string]any:
		for key, below := range v {
			switch path {
			case "":
				collect(below, key, into)
			case "upstream":
				collect(below, "upstream.NAME", into)
			default:
				collect(below, path+"."+key, into)
			}
		}
	case []map[string]any:
		for _, below := range v {
			collect(below, path, into)
		}
	}
}

func TestUpstreamStandsOnDefaultsAndRuleOnUpstream(t *testing.T) {
	f := mustParse(t, `
[upstream.crm]
url     = "https://CRM.example.com/base/"
timeout = "30s"
auth    = { type = "bearer", token = "env:CRM" }
limit   = { rate = "10/s", burst = 3 }
retry   = { attempts = 5 }

[[upstream.crm.rule]]
match   = "GET /a/**"
timeout = "5s"
retry   = { base = "1s" }

[[upstream.crm.rule]]
match = "POST"
auth  = { type = "none" }
limit = [{ concurrency = 1 }, { rate = "1/s", per = "upstream" }]
`)
	u := upstream(t, f, "crm")
	want := config.Policy{
		Timeout: 30 * time.Second, AttemptTimeout: 20 * time.Second, IdleTimeout: 5 * time.Minute, ReplayBody: 1 << 20,
		Auth: config.Auth{Type: "bearer", Token: "env:CRM"},
		Cost: 1,
		Limits: []config.Limit{{
			Rate: config.Rate{Count: 10, Per: time.Second}, Burst: 3,
			MaxWait: 30 * time.Second, MaxQueue: 10000, Shape: "auto", Learn: true, Dialect: "auto", Per: "credential",
		}},
		Retry: config.Retry{
			Attempts: 5, Base: 100 * time.Millisecond, Cap: 20 * time.Second, Budget: 0.1,
			Statuses: []int{408, 425, 429, 500, 502, 503, 504},
			KeyAge:   24 * time.Hour,
		},
		Outbox: config.OutboxNever,
	}
	if !reflect.DeepEqual(u.Policy, want) {
		t.Errorf("upstream: got %+v, want %+v", u.Policy, want)
	}
	if want := (&url.URL{Scheme: "https", Host: "crm.example.com", Path: "/base/"}); *u.URL != *want {
		t.Errorf("url: got %#v", u.URL)
	}

	first := want
	first.Timeout, first.AttemptTimeout, first.Limits = 5*time.Second, 5*time.Second, nil
	first.Retry.Base = time.Second
	if got := u.Rules[0]; !reflect.DeepEqual(got.Policy, first) || got.Source != "GET /a/**" ||
		!reflect.DeepEqual(got.Match, config.Match{Methods: []string{"GET"}, Path: "/a/**"}) {
		t.Errorf("first rule: got %+v, want %+v", got, first)
	}

	second := u.Rules[1]
	if second.Auth != (config.Auth{Type: "none"}) || second.Timeout != 30*time.Second {
		t.Errorf("second rule: got %+v", second)
	}
	if len(second.Limits) != 2 || second.Limits[0].Concurrency != 1 || second.Limits[1].Per != "upstream" {
		t.Errorf("second rule's limits: got %+v", second.Limits)
	}
}
