package upstream

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEventsComeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		answer := httptest.NewRecorder()
		streams().ServeHTTP(answer, httptest.NewRequest("GET", "/sse?events=3&every=50ms", nil))
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("three events took %v, want 100ms", took)
		}
		if got := strings.Count(answer.Body.String(), "\n\n"); got != 3 || !answer.Flushed {
			t.Errorf("%d events of 3; flushed: %v", got, answer.Flushed)
		}
	})
}

func TestBodiesAreCounted(t *testing.T) {
	answer := httptest.NewRecorder()
	streams().ServeHTTP(answer, httptest.NewRequest("PUT", "/up", strings.NewReader("twelve bytes")))
	if got := answer.Body.String(); got != "12\n" {
		t.Errorf("got %q", got)
	}
}
