package stale_test

import (
	"net/http"
	"strings"
	"testing"

	"outrider/policy/stale"
)

// Whatever a provider writes beside it, no-store is heard where it stands first, and what
// a request writes does not make it take what is not allowed.
func FuzzCacheControl(f *testing.F) {
	for _, seed := range []string{"max-age=60, stale-if-error=600", `note="a, b\"", no-store`, "=", ",,", `"`, "stale-if-error=99999999999999999999", "max-age=-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\r\n\x00") {
			t.Skip("no header")
		}
		r := newRig(t, minutes, good("old", "Cache-Control: no-store, "+text), failed)
		r.get()
		r.gives(r.get("Cache-Control: "+text), "")

		r = newRig(t, minutes, good("old", "Age: "+text, "Cache-Control: "+text, "Expires: "+text), failed)
		r.get()
		if a := r.get(); a.Status != http.StatusServiceUnavailable && a.Body != "old" {
			t.Errorf("answered %d %q", a.Status, a.Body)
		}
		if u := r.store.Usage(); u.Answers > 1 || u.Bytes > stale.MaxBody {
			t.Errorf("the store holds %+v", u)
		}
	})
}
