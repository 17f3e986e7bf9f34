package subject

import (
	"os"
	"strings"
	"testing"

	"outrider/bench/process"
	"outrider/bench/upstream"
)

// TestConfigurationsAreComplete: a name that a template misses would be "<no value>".
func TestConfigurationsAreComplete(t *testing.T) {
	place := Place{
		Dir: t.TempDir(), OpenFiles: 1000, Held: 250, Ports: new(process.Ports),
		Upstream: &upstream.Upstream{
			Certificates: upstream.Certificates{Roots: "/roots.pem"},
			API:          "https://localhost:1", Streams: "https://localhost:2", Log: "127.0.0.1:3",
		},
	}
	for _, s := range []Subject{
		NewNginx("x"), NewHAProxy("x"), NewCaddy("x"), NewSquid("x"), NewStock("x"),
		NewOutrider("x", With{}), NewOutrider("x", With{Name: OutriderBare, Bare: true}),
	} {
		r := &Running{Subject: s, Config: place.Dir + "/" + s.Slug()}
		port, err := r.choosePorts(place)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.configure(r, place, port); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(r.Config)
		if err != nil || len(text) == 0 || strings.Contains(string(text), "<no value>") {
			t.Errorf("%s: %v:\n%s", s.Name, err, text)
		}
		if got := s.arguments(r.Config); len(got) < 2 {
			t.Errorf("%s: the arguments are %q", s.Name, got)
		}
	}
}

func TestNamesAreFitForPaths(t *testing.T) {
	for name, want := range map[string]string{OutriderUnsampled: "outrider-sampling-0", OutriderBare: "outrider-all-off", Stock: "stock-go-stack", HAProxy: "haproxy"} {
		if got := (Subject{Name: name}).Slug(); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
