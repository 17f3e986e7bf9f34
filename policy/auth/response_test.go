package auth

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

var epoch = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC) // 1772445600

func unsigned(claims string) string {
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestTokenResponses(t *testing.T) {
	const form = "application/x-www-form-urlencoded; charset=utf-8"
	tests := []struct {
		name, contentType, body string
		ok                      bool
		want                    tokenResponse
	}{
		{"RFC 6749 §5.1", "application/json;charset=UTF-8", `{"access_token":"a","token_type":"example","expires_in":3600,"refresh_token":"r","x":{"y":[1]}}`, true,
			tokenResponse{access: "a", refresh: "r", tokenType: "example", lifetime: time.Hour}},
		{"a form (GitHub)", form, "access_token=a&expires_in=28800&refresh_token=r%2B&token_type=bearer", true,
			tokenResponse{access: "a", refresh: "r+", tokenType: "bearer", lifetime: 8 * time.Hour}},
		{"a form sent as text", "text/plain", "access_token=a&expires=5", true, tokenResponse{access: "a"}},
		{"a form sent as text, in another order", "text/plain", "expires_in=60&access_token=a", true, tokenResponse{access: "a", lifetime: time.Minute}},
		{"JSON sent as text, after a byte order mark", "text/html", "\xef\xbb\xbf {\"access_token\":\"a\"}\n", true, tokenResponse{access: "a"}},
		{"JSON sent as a form", form, `{"access_token":"a"}`, true, tokenResponse{access: "a"}},
		{"a page", "text/html", "<html>access_token=a</html>", false, tokenResponse{}},
		{"a page sent as a form", form, "<html>", false, tokenResponse{}},
		{"half of it", "application/json", `{"access_token":"a"`, false, tokenResponse{}},
		{"a list", "application/json", `[]`, false, tokenResponse{}},
		{"nothing", "application/json", ``, false, tokenResponse{}},
		{"null is no token", "", `{"access_token":null,"error":null,"expires_in":null}`, true, tokenResponse{}},

		{"error", "", `{"error":"invalid_grant"}`, true, tokenResponse{failed: true, code: "invalid_grant"}},
		{"error in a form", "text/plain", "error=bad_refresh_token&error_description=x", true, tokenResponse{failed: true, code: "bad_refresh_token"}},
		{"an error beside a token", "", `{"error":"slow_down","access_token":"a"}`, true, tokenResponse{access: "a", failed: true, code: "slow_down"}},
		{"error as an object (Facebook)", "", `{"error":{"message":"s3cret","type":"OAuthException","code":190}}`, true, tokenResponse{failed: true}},
		{"error as an object with a code", "", `{"error":{"code":"invalid_grant"}}`, true, tokenResponse{failed: true, code: "invalid_grant"}},
		{"a sentence is no code", "", `{"error":"The token s3cret is unknown"}`, true, tokenResponse{failed: true}},
		{"a long word is no code", "", `{"error":"` + strings.Repeat("a", 65) + `"}`, true, tokenResponse{failed: true}},
		{"ok is false (Slack)", "", `{"ok":false}`, true, tokenResponse{failed: true}},
		{"no error", "", `{"ok":true,"error":"","access_token":"a"}`, true, tokenResponse{access: "a"}},

		{"expires_in as a string", "", `{"expires_in":"3600"}`, true, tokenResponse{lifetime: time.Hour}},
		{"expires_in with decimals", "", `{"expires_in":1.5}`, true, tokenResponse{lifetime: 1500 * time.Millisecond}},
		{"expires_in of 0 says nothing", "", `{"expires_in":0}`, true, tokenResponse{}},
		{"expires_in below 0", "", `{"expires_in":-5}`, true, tokenResponse{}},
		{"expires_in of for ever", "", `{"expires_in":1e300}`, true, tokenResponse{}},
		{"expires_in of days", "", `{"expires_in":"days"}`, true, tokenResponse{}},
		{"expires_at", "", `{"expires_at":1772449200}`, true, tokenResponse{lifetime: time.Hour}},
		{"expires_at as a string", "", `{"expires_at":"1772449200"}`, true, tokenResponse{lifetime: time.Hour}},
		{"expires_at in milliseconds", "", `{"expires_at":1772449200000}`, true, tokenResponse{lifetime: time.Hour}},
		{"expires_at as RFC 3339", "", `{"expires_at":"2026-03-02T12:00:00+01:00"}`, true, tokenResponse{lifetime: time.Hour}},
		{"expires_at in the past", "", `{"expires_at":1}`, true, tokenResponse{}},
		{"expires_in goes first", "", `{"expires_in":60,"expires_at":1772449200}`, true, tokenResponse{lifetime: time.Minute}},
		{"exp of a JWT", "", `{"access_token":"` + unsigned(`{"exp":1772449200}`) + `"}`, true, tokenResponse{access: unsigned(`{"exp":1772449200}`), lifetime: time.Hour}},
		{"no JWT", "", `{"access_token":"a.b.c"}`, true, tokenResponse{access: "a.b.c"}},
		{"a JWT without exp", "", `{"access_token":"` + unsigned(`{}`) + `"}`, true, tokenResponse{access: unsigned(`{}`)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseTokenResponse(tt.contentType, []byte(tt.body), epoch)
			if got != tt.want || ok != tt.ok {
				t.Errorf("got %+v, %v; want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzTokenResponse(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"a","expires_in":"3600","error":{"code":"x"}}`, `{"expires_at":"2026-03-02T12:00:00Z","ok":false}`,
		"access_token=a&expires_in=1e400", "error=x", `{"access_token":"` + unsigned(`{"exp":"9e99"}`) + `"}`, "\xef\xbb\xbf{}", `{"expires_in":-Inf}`,
	} {
		f.Add("application/json", body)
		f.Add("application/x-www-form-urlencoded", body)
	}
	f.Fuzz(func(t *testing.T, contentType, body string) {
		r, ok := parseTokenResponse(contentType, []byte(body), epoch)
		if !ok && r != (tokenResponse{}) {
			t.Errorf("not ok, and %+v", r)
		}
		if r.lifetime < 0 || r.lifetime > maxLifetime {
			t.Errorf("lifetime %v", r.lifetime)
		}
		if r.code != "" && (!showable(r.code) || !r.failed) {
			t.Errorf("code %q", r.code)
		}
	})
}

func FuzzGrant(f *testing.F) {
	whole := grant{version: version{"l", 3}, Access: NewSecret("a"), Refresh: NewSecret("r"), Previous: NewSecret("p"), Seed: "s", Former: "a b", Terms: "t",
		Obtained: epoch, Expires: epoch.Add(time.Hour), Learned: time.Minute, Forced: 2}
	data, err := whole.encode()
	if err != nil {
		f.Fatal(err)
	}
	if back, err := decodeGrant(data); err != nil || *back != whole {
		f.Errorf("%+v became %+v, %v", whole, back, err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if g, err := decodeGrant(data); (g == nil) == (err == nil) {
			t.Errorf("%v and %v", g, err)
		}
	})
}
