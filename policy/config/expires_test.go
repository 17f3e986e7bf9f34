package config_test

import (
	"strings"
	"testing"
	"time"
)

func TestCredentialSaysWhenItEnds(t *testing.T) {
	for written, want := range map[string]time.Time{
		`"2027-01-31"`:                time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
		`"2027-01-31T12:00:00+02:00"`: time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC),
		`2027-01-31T12:00:00Z`:        time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC),
	} {
		f := mustParse(t, `
[upstream.crm]
url = "https://crm.example.com"
auth = { type = "bearer", token = "env:T", expires = `+written+` }
connection.acme = { token = "env:ACME" }
`)
		crm := upstream(t, f, "crm")
		if crm.Auth.Expires != want {
			t.Errorf("%s is read as %v, want %v", written, crm.Auth.Expires, want)
		}
		if own := crm.Named[0].Auth.Expires; !own.IsZero() {
			t.Errorf("a connection with a token of its own ends when the upstream's does, at %v", own)
		}
	}
	for document, want := range map[string]string{
		`auth = { type = "bearer", token = "env:T", expires = "soon" }`: `upstream.crm.auth.expires = "soon": must be a day or a time`,
		`auth = { type = "none", expires = "2027-01-31" }`:              "upstream.crm.auth.expires: does not belong to type none",
	} {
		if err := problems(t, "[upstream.crm]\nurl = \"https://crm.example.com\"\n"+document).Error(); !strings.Contains(err, want) {
			t.Errorf("%s: %s, want %s", document, err, want)
		}
	}
}
