package config_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"outrider/policy/config"
)

func TestLiteralNeverShows(t *testing.T) {
	const canary = config.Reference("canary-7f3a")
	holder := struct {
		Ref  config.Reference
		Ptr  *config.Reference
		List []config.Reference
		Map  map[string]config.Reference
		Auth config.Auth
		Any  any
	}{canary, new(canary), []config.Reference{canary}, map[string]config.Reference{"k": canary}, config.Auth{Type: "bearer", Token: canary}, canary}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%10s", "%-5.3s"} {
		fmt.Fprintf(&out, verb+"\n", canary)
		fmt.Fprintf(&out, verb+"\n", holder)
		fmt.Fprintf(&out, verb+"\n", holder.List)
		fmt.Fprintf(&out, verb+"\n", holder.Auth)
	}
	fmt.Fprintln(&out, canary, canary.GoString(), fmt.Errorf("using %v: %s", canary, canary))
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(handler).Info("x", "ref", canary, "holder", holder, "auth", holder.Auth, slog.Group("g", "list", holder.List))
	}
	for _, v := range []any{canary, holder} {
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := xml.NewEncoder(&out).Encode(holder.Auth); err != nil {
		t.Fatal(err)
	}
	text, _ := canary.MarshalText()
	out.Write(text)

	// "canary" in hexadecimal shows as 63616e617279.
	for _, leak := range []string{"canary", "7f3a", "63616e61", "63616E61"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q shows in\n%s", leak, out.String())
		}
	}
	if !strings.Contains(out.String(), "REDACTED") {
		t.Errorf("REDACTED does not show in\n%s", out.String())
	}
}

func TestReferenceShowsWhereTheSecretIs(t *testing.T) {
	for _, tt := range []struct {
		ref     config.Reference
		scheme  string
		literal bool
		shown   string
	}{
		{"", "", false, ""},
		{"env:TOKEN", "env", false, "env:TOKEN"},
		{"file:/run/secrets/x", "file", false, "file:/run/secrets/x"},
		{"exec:vault read x", "exec", false, "exec:vault read x"},
		{"keyring:outrider", "keyring", false, "keyring:outrider"},
		{"ghp_1234", "", true, "REDACTED"},
		{"environment:x", "", true, "REDACTED"},
		{"vault:x", "", true, "REDACTED"},
	} {
		encoded, err := json.Marshal(tt.ref)
		if err != nil {
			t.Fatal(err)
		}
		if tt.ref.Scheme() != tt.scheme || tt.ref.Literal() != tt.literal || tt.ref.String() != tt.shown ||
			fmt.Sprintf("%v", tt.ref) != tt.shown || string(encoded) != `"`+tt.shown+`"` || tt.ref.LogValue().String() != tt.shown {
			t.Errorf("%q: scheme %q, literal %v, shown %v, JSON %s", string(tt.ref), tt.ref.Scheme(), tt.ref.Literal(), tt.ref, encoded)
		}
		if stays := tt.scheme == "" || tt.scheme == "env"; tt.ref.Constant() != stays {
			t.Errorf("%q is constant: %t", string(tt.ref), !stays)
		}
	}
}
