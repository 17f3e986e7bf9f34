// Package subject has what is measured: Outrider, the proxies beside it, how each is built
// and configured, with those of its features on that come nearest.
package subject

import (
	"context"
	"embed"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"outrider/bench/process"
	"outrider/bench/upstream"
)

// A Subject is a program in one configuration.
type Subject struct {
	Name    string // as the tables have it
	Program string // path of the executable

	configuration string                     // name of its template in conf
	arguments     func(path string) []string // how the program is told of it
	environment   []string
	bare          bool   // Outrider with everything off that can be off
	sample        string // Outrider's share of traces
	more          string // Outrider's further upstreams
}

// A Place is where subjects run, and what they talk to.
type Place struct {
	Dir       string // for configurations, logs and state; in memory, so that no disk is measured
	Core      int    // which processor they have
	OpenFiles int    // how many a process may have
	Held      int    // client connections that one has to be able to hold
	Ports     *process.Ports
	Upstream  *upstream.Upstream
}

// Running is a subject that runs.
type Running struct {
	*process.Process
	Subject
	Calls   string // base URL that leads to the API
	Streams string // base URL that leads to the streams
	Proxy   string // address for tunnels, if it is a forward proxy
	Base    string // Outrider's base URL, to which the name of an upstream is added
	Admin   string // address of Outrider's admin port
	Config  string // path of the configuration
}

//go:embed conf
var conf embed.FS

// Token is the credential that is put on.
const Token = "x0123456789abcdef0123456789abcdef"

// Start starts the subject, and returns when it has answered a call.
func (s Subject) Start(ctx context.Context, place Place) (*Running, error) {
	r, err := s.Launch(place)
	if err != nil {
		return nil, err
	}
	if s.Name == Squid {
		err = r.Listens(ctx, r.Proxy)
	} else {
		err = r.Answers(ctx, r.Calls)
	}
	if err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

// Launch starts the subject, and does not wait for it.
func (s Subject) Launch(place Place) (*Running, error) {
	// In a directory of its own: Outrider watches the one of its configuration, and is not
	// to be woken up by what anybody logs.
	r := &Running{Subject: s, Config: filepath.Join(place.Dir, "config", s.Slug()+"-"+s.configuration)}
	port, err := r.choosePorts(place)
	if err != nil {
		return nil, err
	}
	if err := s.configure(r, place, port); err != nil {
		return nil, err
	}
	r.Process, err = process.Start(process.Spec{
		Args:   append([]string{s.Program}, s.arguments(r.Config)...),
		Env:    append(s.environment, s.telemetry(place)...),
		Core:   place.Core,
		Output: filepath.Join(place.Dir, s.Slug()+".log"),
	})
	return r, err
}

// choosePorts gives the subject its addresses. Outrider has a port for each upstream, the
// others tell them apart by path.
func (r *Running) choosePorts(place Place) (int, error) {
	ports := make([]int, 4)
	for i := range ports {
		port, err := place.Ports.Next()
		if err != nil {
			return 0, err
		}
		ports[i] = port
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	r.Calls, r.Streams, r.Proxy = "http://"+at(0), "http://"+at(0), at(0)
	if r.configuration == outriderFile {
		r.Base, r.Calls, r.Streams, r.Admin = "http://"+at(0), "http://"+at(1), "http://"+at(2), at(3)
	}
	return ports[0], nil
}

// configure writes the configuration.
func (s Subject) configure(r *Running, place Place, port int) error {
	forms, err := template.ParseFS(conf, "conf/"+s.configuration)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.Config), 0o750); err != nil {
		return err
	}
	file, err := os.Create(r.Config)
	if err != nil {
		return err
	}
	defer file.Close()
	return forms.Execute(file, map[string]any{
		"Dir": place.Dir, "Slug": s.Slug(), "Root": os.Getuid() == 0,
		"OpenFiles": place.OpenFiles, "Connections": place.OpenFiles - 500, "Held": place.Held + 100,
		"Port": port, "CallsPort": portOf(r.Calls), "StreamsPort": portOf(r.Streams), "AdminPort": portOf("http://" + r.Admin),
		"API": place.Upstream.API, "APIHost": "127.0.0.1:" + portOf(place.Upstream.API),
		"Streams": place.Upstream.Streams, "StreamsHost": "127.0.0.1:" + portOf(place.Upstream.Streams),
		"Roots": place.Upstream.Roots, "LogAddress": place.Upstream.Log, "Token": Token,
		"Bare": s.bare, "Sample": s.sample, "More": s.more,
	})
}

// telemetry is the part of the environment that says where spans go: to a path of the
// subject's own, by which they are told apart.
func (s Subject) telemetry(place Place) []string {
	if s.bare {
		return nil
	}
	return []string{
		"OTEL_SERVICE_NAME=" + s.Slug(),
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_EXPORTER_OTLP_INSECURE=true",
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + place.Upstream.Collector + "/" + s.Slug(),
		"OTEL_BSP_MAX_QUEUE_SIZE=65536", // so that none of the others drops spans
	}
}

// Spans is how many spans of the subject have arrived.
func (s Subject) Spans(place Place) int64 { return place.Upstream.Spans.Count(s.Slug()) }

// Slug is the name, fit for files, paths and flags.
func (s Subject) Slug() string {
	words := strings.FieldsFunc(strings.ToLower(s.Name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return strings.Join(words, "-")
}

func portOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Port()
}
