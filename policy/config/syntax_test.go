package config_test

import (
	"strings"
	"testing"

	"outrider/policy/config"
)

func TestSyntaxErrorsPointAtThePlaceAndHideValues(t *testing.T) {
	for _, tt := range []struct{ name, document, want string }{
		{"no quotes", "[upstream.crm.auth]\n  token = canary_x", `
test.toml:2: a value is missing, or is text without quotes

  2 |   token = *
                ^`},
		{"open quote", "access_key = \"canary\nlisten = 1", `
test.toml:1: text must end on its line: is the closing quote missing?

  1 | access_key = ********
                          ^`},
		{"word behind the value", "access_key = \"canary\" canary", `
test.toml:1: nothing may follow a value on its line; text needs quotes

  1 | access_key = **********
                            ^`},
		{"header", "[upstream.crm\nurl = 1", `
test.toml:1: this is no table name: write [a.b], or [[a.b]] for one of several

  1 | [upstream.crm
                   ^`},
		{"table twice", "[upstream.crm]\n[upstream.crm]", `
test.toml:2: upstream.crm is there already, and can be written only once

  2 | [upstream.crm
       ^`},
		{"key twice", "listen = \"a\"\nlisten = \"canary\"", `
test.toml:2: listen is there already, and can be written only once

  2 | listen = 
      ^`},
		{"base64 that looks like a key", "x = \"\"\"\nY2FuYXJ5==\n\"\"\" canary", `
test.toml:3: nothing may follow a value on its line; text needs quotes

  3 | *****
          ^`},
		{"end", "[upstream.crm.auth]\ntoken = ", `
test.toml:2: the document ends too early: is a quote or a bracket missing?

  2 | token = 
              ^`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("test.toml", []byte(tt.document))
			if got, want := err.Error(), strings.TrimPrefix(tt.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestSyntaxErrorsNeverRepeatTheDocument(t *testing.T) {
	for _, value := range []string{
		`canary`, `"canary`, `'canary`, `"""canary`, `"\canary"`, `"canary" canary`, `["canary" "canary"]`, `{canary}`, `{a = canary}`,
		`12canary`, `+canary`, `0xcanary`, `0x12canary`, `1_canary`, `12_`, `1.canary`, `2026-99-99canary`, `2026-99-99`, `inf_canary`, `truecanary`,
		`"\ucanary"`, `"\uD800canary"`, "\"canary\x00\"", "\"canary\xff\"", `99999999999999999999999canary`, `[canary`, `'''canary`, `=canary`, `.canary`, `,canary`,
	} {
		for _, key := range []string{"access_key", "upstream.x.auth.token", "[upstream.x.auth]\ntoken"} {
			document := key + " = " + value
			_, err := config.Parse("", []byte(document))
			if err == nil {
				t.Errorf("%q is no error", document)
			} else if strings.Contains(err.Error(), "canary") {
				t.Errorf("%q: the error repeats it:\n%v", document, err)
			} else if strings.Contains(err.Error(), "not valid TOML") {
				t.Errorf("%q: the error says nothing:\n%v", document, err)
			}
		}
	}
}
