package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A house rule says what one package of ours may import. Everything that is not
// allowed is forbidden: of our own packages, and of the libraries that are named
// in guarded.
type houseRule struct {
	may []string // packages of ours, and guarded libraries
	why string   // said when the rule is broken
}

const (
	otel = "go.opentelemetry.io/"
	toml = "github.com/BurntSushi/toml"
	slog = "log/slog"
	osys = "os"
	dsql = "database/sql"
	lite = "modernc.org/"
	pgsq = "github.com/jackc/"
	ring = "github.com/zalando/"
)

// guarded are the libraries that only some packages may use.
var guarded = []string{otel, toml, slog, osys, dsql, lite, pgsq, ring}

// leaf is the rule of the policies that are decorators.
var leaf = houseRule{
	may: []string{"policy/hint", "policy/moment", "policy/replay"},
	why: "a leaf knows nothing of other leaves, of the document, of logs and of spans: it reports through func fields",
}

// house maps package → rule. A package that is missing here is an error too:
// whoever adds one says what it may see.
var house = map[string]houseRule{
	"":                  {may: []string{"proxy/cli", osys}, why: "main only hands over"},
	"policy":            {may: []string{"policy/config", "policy/preset", "policy/answer", "policy/auth", "policy/breaker", "policy/hedge", "policy/hint", "policy/limit", "policy/moment", "policy/notice", "policy/pace", "policy/quota", "policy/results", "policy/retry", "policy/stale"}, why: "policy has no listener, no file, no logger"},
	"policy/config":     {may: []string{"policy/preset", "policy/quota", toml, slog}, why: "the document knows nobody but the presets under it, and the names of the dialects; slog only so that a secret prints as REDACTED"},
	"policy/hint":       {why: "a parser that every leaf may use"},
	"policy/moment":     {why: "what time it is, for the leaves that an attempt passes one after the other"},
	"policy/notice":     {why: "a parser: what a header says of the future, and not who is told"},
	"policy/quota":      {may: []string{"policy/hint"}, why: "a parser: what a header says of quotas, and not what is done about it"},
	"policy/replay":     {why: "how a request is repeated, for the leaves that do it"},
	"policy/answer":     {may: append([]string{"policy/quota"}, leaf.may...), why: leaf.why},
	"policy/auth":       {may: append([]string{slog}, leaf.may...), why: leaf.why + "; slog only so that a secret prints as REDACTED"},
	"policy/breaker":    leaf,
	"policy/hedge":      leaf,
	"policy/pace":       {may: append([]string{"policy/quota"}, leaf.may...), why: "when the next call may go, without lock or clock; what answers say of it, it takes as package quota reads it"},
	"policy/limit":      {may: append([]string{"policy/quota", "policy/pace"}, leaf.may...), why: leaf.why},
	"policy/results":    leaf,
	"policy/retry":      leaf,
	"policy/stale":      leaf,
	"policy/preset":     {may: []string{toml}, why: "what is known of providers is data, and knows nobody"},
	"policy/policytest": {may: []string{osys}, why: "the harness must not know what it tests"},
	"proxy":             {may: []string{"policy", "policy/config", "proxy/egress", "proxy/framing", "proxy/inbound", "proxy/outbox", "proxy/socket", "proxy/telemetry", slog, osys}, why: "the way of a call uses policies as a Set, never leaf by leaf"},
	"proxy/admin":       {may: []string{osys}, why: "the page shows views that it is handed"},
	"proxy/alarm":       {may: []string{"policy", "policy/config", "proxy/alert", "proxy/telemetry", slog, osys}, why: "what is wrong is told by events, ended calls and states, and not by the wiring; slog, for alerts are told in the log, too"},
	"proxy/alert":       {may: []string{"proxy/webhook"}, why: "who is told, and how, is known apart from what is wrong"},
	"proxy/clients":     {may: []string{osys}, why: "what clients read is known apart from who tells them"},
	"proxy/egress":      {may: []string{"proxy/socket", osys}, why: "the network side knows nothing of policies"},
	"proxy/handover":    {may: []string{"policy", "proxy/admin"}, why: "the API hands connections to the policies, below the guards of the admin port"},
	"proxy/intercept":   {may: []string{"proxy/statefile", osys}, why: "the authority is asked for certificates, and knows neither who asks nor the configuration"},
	"proxy/letters":     {may: []string{"proxy/admin", "proxy/outbox"}, why: "the API looks after letters, below the guards of the admin port, and knows no policies"},
	"proxy/framing":     {why: "the strict grammar knows bytes only"},
	"proxy/inbound":     {may: []string{"proxy/framing", "proxy/socket"}, why: "the server of HTTP/1 knows requests and connections, and not what becomes of them"},
	"proxy/login":       {may: []string{osys}, why: "who leads a user to a provider and back knows no tokens"},
	"proxy/outbox":      {may: []string{"proxy/store", "proxy/webhook"}, why: "a letter is kept, sent and ended apart from policies, logs and spans: it reports through func fields"},
	"proxy/simulator":   {may: []string{osys}, why: "the simulator is somebody else's server"},
	"proxy/socket":      {may: []string{osys}, why: "a system call, for whoever has a socket"},
	"proxy/statefile":   {may: []string{osys}, why: "a file is private or not, whatever it holds"},
	"proxy/store":       {may: []string{"proxy/statefile", dsql, lite, pgsq, osys}, why: "the store keeps bytes, and does not know whose"},
	"proxy/telemetry":   {may: []string{"policy", "proxy/telemetry/spans", otel, slog, osys}, why: "the only importer of OpenTelemetry, with its tracer, sees calls and events, not leaves"},
	"proxy/webhook":     {why: "a signature, for whoever sends messages to the URLs of others"},
	"proxy/cli": {may: []string{"policy", "policy/config", "policy/preset", "proxy", "proxy/admin", "proxy/alarm", "proxy/alert", "proxy/clients", "proxy/egress", "proxy/handover", "proxy/intercept", "proxy/letters", "proxy/login", "proxy/outbox", "proxy/simulator", "proxy/store", "proxy/telemetry", slog, osys, ring},
		why: "the wiring sees the parts, not the leaves"},
	"proxy/outbox/outboxtest":  {may: []string{"proxy/outbox", "proxy/store"}, why: "a store in memory, for tests, is one in the eyes of the outbox"},
	"proxy/store/postgrestest": {may: []string{osys}, why: "a server for tests must not know what they test"},
	"proxy/telemetry/spans":    {may: []string{otel}, why: "a tracer, in place of OpenTelemetry's, knows spans and nothing of what they tell of"},
}

// TestHouse keeps the import table, in the manner of the standard library's
// go/build/deps_test.go: by parsing, so that a forbidden import fails with both
// packages and the reason.
func TestHouse(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// The comparison with other proxies is a module of its own, which imports nothing of ours.
		if entry.IsDir() && path != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || path == "bench") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		checkFile(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkFile(t *testing.T, path string) {
	importer := filepath.ToSlash(filepath.Dir(path))
	if importer == "." {
		importer = ""
	}
	rule, known := house[importer]
	if !known {
		t.Errorf("%s: package %q is not in the table of arch_test.go: say there what it may import", path, importer)
		return
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if !rule.allows(imported) {
			t.Errorf("%s: package %q must not import %q: %s", path, importer, imported, rule.why)
		}
	}
}

func (r houseRule) allows(imported string) bool {
	own, ours := strings.CutPrefix(imported, "outrider/")
	for _, may := range r.may {
		if ours && own == may || !ours && matches(may, imported) {
			return true
		}
	}
	if ours {
		return false
	}
	for _, library := range guarded {
		if matches(library, imported) {
			return false
		}
	}
	return true
}

// matches compares an import with a path, or with a prefix that ends in a slash.
func matches(library, imported string) bool {
	return imported == library || strings.HasSuffix(library, "/") && strings.HasPrefix(imported, library)
}

// TestHouseFindsForbiddenImports keeps the check itself from rotting into one
// that allows everything.
func TestHouseFindsForbiddenImports(t *testing.T) {
	for _, forbidden := range []struct{ importer, imported string }{
		{"policy/limit", "outrider/policy/retry"},
		{"policy/limit", "log/slog"},
		{"policy/retry", "outrider/policy"},
		{"policy", "github.com/BurntSushi/toml"},
		{"policy", "os"},
		{"proxy", "outrider/policy/limit"},
		{"proxy", "go.opentelemetry.io/otel"},
		{"proxy/egress", "outrider/policy"},
		{"proxy/store", "outrider/policy/auth"},
		{"proxy/cli", "database/sql"},
		{"proxy/cli", "github.com/jackc/pgx/v5"},
	} {
		if house[forbidden.importer].allows(forbidden.imported) {
			t.Errorf("%s may import %s, and must not", forbidden.importer, forbidden.imported)
		}
	}
}
