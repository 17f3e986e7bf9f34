package auth_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// canary is the secret that must turn up nowhere.
const canary = "c4n4ry/+= ÿ"

// leaks reports whether text shows the canary, in any of the forms that it has
// on the wire or in a dump.
func leaks(text string) bool {
	for _, form := range []string{
		canary, canary[:6],
		url.QueryEscape(canary), url.PathEscape(canary),
		base64.StdEncoding.EncodeToString([]byte(canary))[:6],
		base64.StdEncoding.EncodeToString([]byte("user:" + canary))[:12],
		fmt.Sprintf("%x", canary[:6]), fmt.Sprintf("% x", canary[:6]), fmt.Sprintf("%d", []byte(canary[:6])),
	} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
			return true
		}
	}
	return false
}

func value(v string) func() (string, error) {
	return func() (string, error) { return v, nil }
}

func TestSecretIsRedactedHoweverItIsPrinted(t *testing.T) {
	secret := auth.NewSecret(canary)
	token := auth.Token{Kind: auth.Bearer, Header: "Authorization", Value: secret}
	things := map[string]any{
		"secret": secret, "pointer": &secret, "token": token, "pointer to token": &token,
		"slice": []auth.Secret{secret}, "map value": map[string]auth.Secret{"k": secret},
		"map key": map[auth.Secret]int{secret: 1}, "nested": struct{ T any }{token},
		"array of tokens": [1]auth.Token{token}, "unexported field": struct{ current auth.Token }{token},
		"unexported pointer": struct{ current *auth.Token }{&token},
	}
	for name, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%10.3s", "%T", "%t", "%c", "%p", "%!"} {
			if out := fmt.Sprintf(verb, thing); leaks(out) {
				t.Errorf("%s with %s: %s", name, verb, out)
			}
		}
		if out := fmt.Sprint(thing) + fmt.Sprintln(thing); leaks(out) {
			t.Errorf("%s: %s", name, out)
		}
		out, err := json.Marshal(thing)
		if err != nil || leaks(string(out)) {
			t.Errorf("%s as JSON: %s, %v", name, out, err)
		}
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(handler).Info("x", "thing", thing, slog.Group("g", "thing", thing))
		}
		if leaks(log.String()) {
			t.Errorf("%s in the log: %s", name, &log)
		}
		if err := fmt.Errorf("sending %v: %w", thing, io.EOF); leaks(err.Error()) {
			t.Errorf("%s in an error: %v", name, err)
		}
	}
	if out, err := xml.Marshal(token); err != nil || leaks(string(out)) {
		t.Errorf("XML: %s, %v", out, err)
	}
	if out, err := toml.Marshal(token); err != nil || leaks(string(out)) {
		t.Errorf("TOML: %s, %v", out, err)
	}
	if secret.Reveal() != canary {
		t.Error("Reveal does not")
	}
	if secret != auth.NewSecret(canary) || secret == auth.NewSecret("other") {
		t.Error("secrets are not compared by their text")
	}
	if zero := (auth.Secret{}); zero.Reveal() != "" || zero != auth.NewSecret("") || fmt.Sprint(zero) != "REDACTED" {
		t.Error("the zero secret is not the empty text")
	}
	if out := fmt.Sprintf("%v|%#v|%s", secret, secret, secret.String()); out != "REDACTED|REDACTED|REDACTED" {
		t.Errorf("reads %s", out)
	}
}

// TestCanary sends calls with every kind of credential, and with everything that
// can be wrong with one, and looks for the secret in all that comes back.
func TestCanary(t *testing.T) {
	control := func() (string, error) { return canary + "\n", nil }
	kinds := map[string]auth.Settings{
		"bearer":                   {Type: auth.Bearer, Value: value(canary)},
		"basic":                    {Type: auth.Basic, Username: value("user"), Value: value(canary)},
		"header":                   {Type: auth.Header, Name: "X-Api-Key", Value: value(canary)},
		"query":                    {Type: auth.Query, Name: "key", Value: value(canary)},
		"placeholder":              {Type: auth.Placeholder, Placeholder: standIn, Value: value(canary)},
		"bearer with a line end":   {Type: auth.Bearer, Value: control},
		"basic with a line end":    {Type: auth.Basic, Username: value("user"), Value: control},
		"header with a line end":   {Type: auth.Header, Name: "X-Api-Key", Value: control},
		"query with a line end":    {Type: auth.Query, Name: "key", Value: control},
		"username with a line end": {Type: auth.Basic, Username: control},
		"password not UTF-8":       {Type: auth.Basic, Value: value(canary + "\xff")},
	}
	outcomes := map[string]policytest.Step{
		"answered": {Status: 401, Body: "no"},
		"failed":   {Err: io.ErrUnexpectedEOF},
		"unsent":   {Unsent: true},
	}
	for kind, settings := range kinds {
		for outcome, step := range outcomes {
			src, err := auth.New(settings)
			if err != nil {
				t.Fatal(err)
			}
			upstream := policytest.NewUpstream(t, step)
			req := policytest.NewRequest(t, "GET", "https://api.test/x?a="+standIn, "")
			resp, err := auth.Wrap(src, nil)(upstream).RoundTrip(req)
			shown := fmt.Sprintf("%v %+v %#v %+v", err, err, err, src)
			for e := err; e != nil; e = errors.Unwrap(e) {
				shown += fmt.Sprintf("%v %+v %#v", e, e, e)
			}
			if resp != nil {
				sent := resp.Request
				shown += fmt.Sprintf("%+v %s %+v", sent.Header, sent.URL, resp.Header)
			}
			shown += fmt.Sprintf("%+v %s", req.Header, req.URL)
			if leaks(shown) {
				t.Errorf("%s, %s: %s", kind, outcome, shown)
			}
		}
	}
	settings := auth.Settings{Type: auth.Basic, Username: value(canary + ":x"), Value: value(canary)}
	if _, err := auth.New(settings); err == nil || leaks(fmt.Sprintf("%v %#v", err, err)) {
		t.Errorf("New: %v", err)
	}
}

// TestCanaryIsFound makes sure that the hunt would find something.
func TestCanaryIsFound(t *testing.T) {
	src, err := auth.New(auth.Settings{Type: auth.Query, Name: "key", Value: value(canary)})
	if err != nil {
		t.Fatal(err)
	}
	auth.Wrap(src, nil)(roundTripper(func(req *http.Request) (*http.Response, error) {
		if !leaks(req.URL.String()) {
			t.Errorf("not seen in %s", req.URL)
		}
		return nil, io.EOF
	})).RoundTrip(policytest.NewRequest(t, "GET", "https://api.test/x?a=1", ""))
}
