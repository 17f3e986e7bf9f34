package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"outrider/proxy/clients"
	"outrider/proxy/telemetry"
)

// The verdicts on a call.
const (
	arrived    = "arrived"
	wentDirect = "went direct"
	refusedCA  = "refused the CA"
	failed     = "failed: "
)

// probe makes the calls of one client; nil if it is not installed.
func (w *ward) probe(ctx context.Context, p clients.Probe) *finding {
	program, installed := w.find(ctx, p)
	if !installed {
		return nil
	}
	f := &finding{Client: p.Client, Note: p.Note, Calls: make(map[string]string)}
	for _, scheme := range doctorSchemes {
		label := doctorLabel(p.Client, scheme)
		url := scheme + "://" + label + "." + doctorDomain + "/echo/" + label
		e := w.run(ctx, p.Command(p.Call, program, url, w.dir, w.self))
		f.note(scheme, w.verdict(label, e), e.said, p)
	}
	return f
}

// note writes a verdict down. The first that is bad decides what is advised.
func (f *finding) note(scheme, verdict, said string, p clients.Probe) {
	f.Calls[scheme] = verdict
	if verdict == arrived || f.Fix != "" {
		return
	}
	f.Said = said
	switch verdict {
	case wentDirect:
		f.Fix = p.Direct
	case refusedCA:
		f.Fix = p.Refused
	case failed + keyRequired:
		f.Fix = p.Keyed
	}
	if f.Fix == "" {
		f.Fix = "run the client by itself: outrider exec -- …"
	}
}

// find looks for the program of a client, under all of its names.
func (w *ward) find(ctx context.Context, p clients.Probe) (program string, installed bool) {
	if p.Programs == nil {
		return "", true
	}
	for _, name := range p.Programs {
		if _, err := exec.LookPath(name); err != nil {
			continue
		}
		if w.run(ctx, p.Command(p.Find, name, "", w.dir, nil)).err == nil {
			return name, true
		}
	}
	return "", false
}

// An ending is how a command ended.
type ending struct {
	err   error  // nil: well
	said  string // the last line that it wrote
	began bool
	late  bool // it was ended, after doctorLimit
}

func (w *ward) run(ctx context.Context, command []string) ending {
	ctx, cancel := context.WithTimeout(ctx, doctorLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = w.env, w.dir, time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	return ending{
		err: err, said: clip(w.secret.Replace(lastWords(output.String()))),
		began: cmd.ProcessState != nil, late: errors.Is(ctx.Err(), context.DeadlineExceeded),
	}
}

// lastWords is the last one that a client said itself.
func lastWords(output string) string {
	last := ""
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "Picked up JAVA_TOOL_OPTIONS") {
			last = line
		}
	}
	return last
}

// clip keeps what somebody else said to a line.
func clip(s string) string {
	const most = 160
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

// verdict says what became of a call, by what the sidecar saw.
func (w *ward) verdict(label string, e ending) string {
	records := w.seen(label)
	for _, r := range records {
		if r.Method != http.MethodConnect && r.Status == http.StatusOK {
			return arrived
		}
	}
	switch {
	case len(records) > 0:
		return blame(records[0])
	case !e.began:
		return failed + e.err.Error()
	case e.late:
		return failed + "no end within " + doctorLimit.String()
	}
	return wentDirect // nobody else knows its host: the client looked for it by itself
}

// keyRequired is the problem of a client that showed no access key, unnamedError
// what telemetry calls an error that has no name.
const (
	keyRequired  = "key-required"
	unnamedError = "_OTHER"
)

// blame says why a call that came did not get its answer.
func blame(r telemetry.Record) string {
	switch {
	case strings.HasPrefix(r.Error, "client-refused-ca"), strings.HasPrefix(r.Error, "client-left"):
		return refusedCA
	case r.Problem == keyRequired:
		return failed + keyRequired
	case r.Error != "" && r.Error != unnamedError:
		return failed + r.Error
	case r.Problem != "":
		return failed + r.Problem
	}
	return failed + fmt.Sprintf("%s was answered with %d", r.Method, r.Status)
}

// settleRecords is how long the record of a call may come after its client's end.
const settleRecords = time.Second

// seen are the calls with a label, and the connections that could not be opened.
// A call is known by its path, since its host is by then that of the provider; a
// connection has nothing but the host that it was for.
func (w *ward) seen(label string) []telemetry.Record {
	deadline := time.Now().Add(settleRecords)
	for {
		var records []telemetry.Record
		for _, r := range w.sidecar.telemetry.Recent(telemetry.Filter{}) {
			call := strings.HasPrefix(r.Path+"/", "/echo/"+label+"/")
			if call || strings.HasPrefix(r.Host, label+"."+doctorDomain) {
				records = append(records, *r)
			}
		}
		if len(records) > 0 || time.Now().After(deadline) {
			return records
		}
		time.Sleep(20 * time.Millisecond)
	}
}
