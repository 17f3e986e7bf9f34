package upstream

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// streams answers /sse?events=N&every=DURATION with events that say when they were sent,
// and takes bodies of any length at /up.
func streams() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/sse", events)
	mux.HandleFunc("/up", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintln(w, n)
	})
	return mux
}

// events are as long as those of a chat that answers by the token.
func events(w http.ResponseWriter, r *http.Request) {
	count, err := strconv.Atoi(r.FormValue("events"))
	if err != nil {
		http.Error(w, "events: a number", http.StatusBadRequest)
		return
	}
	every, err := time.ParseDuration(r.FormValue("every"))
	if err != nil {
		http.Error(w, "every: a duration", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	padding := strings.Repeat("y", 80)
	flusher := http.NewResponseController(w)
	for i := range count {
		if i > 0 {
			select {
			case <-time.After(every):
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprintf(w, "data: {\"token\":%d,\"sent\":%d,\"padding\":%q}\n\n", i, time.Now().UnixNano(), padding)
		if flusher.Flush() != nil {
			return
		}
	}
}
