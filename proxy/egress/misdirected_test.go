package egress_test

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"outrider/proxy/egress"
)

// A 421 says that the connection leads to the wrong server: the next request has another
// one (RFC 9110 section 15.5.20), over HTTP/1.1 and HTTP/2, and calls that share the
// connection end as they would.
func TestConnectionThatIsMisdirectedTakesNoMoreCalls(t *testing.T) {
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			misdirects := atomic.Bool{}
			began, goOn := make(chan bool), make(chan bool)
			url := serveHTTP(t, serverTLS(protocol), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-From", r.RemoteAddr)
				switch r.URL.Path {
				case "/slow":
					began <- true
					<-goOn
				case "/wrong":
					if misdirects.CompareAndSwap(true, false) {
						w.WriteHeader(http.StatusMisdirectedRequest)
					}
				}
				_, _ = io.WriteString(w, "body")
			})
			tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
			first, _ := get(t, tr, url+"/")
			misdirects.Store(true)

			shared := make(chan string, 1)
			if protocol == "h2" {
				slow := newRequest(t, "GET", url+"/slow", nil)
				go func() {
					resp, err := tr.RoundTrip(slow)
					if err != nil {
						shared <- err.Error()
						return
					}
					body, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					shared <- resp.Header.Get("X-From") + " " + string(body)
				}()
				<-began
			}
			wrong, _ := get(t, tr, url+"/wrong")
			right, _ := get(t, tr, url+"/wrong")
			if wrong.StatusCode != 421 || right.StatusCode != 200 {
				t.Fatalf("got %d and %d", wrong.StatusCode, right.StatusCode)
			}
			was, is := wrong.Header.Get("X-From"), right.Header.Get("X-From")
			if was != first.Header.Get("X-From") || is == was {
				t.Errorf("after 421 over %s the next request came over %s", was, is)
			}
			if protocol == "h2" {
				close(goOn)
				if got := <-shared; got != was+" body" {
					t.Errorf("the call beside it ended with %q", got)
				}
			}
		})
	}
}
