package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outrider/proxy/cli"
)

// check runs `outrider check` on a document.
func check(t *testing.T, document string) (code int, out, problems string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = cli.Main(t.Context(), cli.Process{
		Args: []string{"check", "--config", path}, Stdout: &stdout, Stderr: &stderr,
	})
	return code, stdout.String(), stderr.String()
}

func TestCheckPrintsThePlanWithoutSecrets(t *testing.T) {
	t.Setenv("OUTRIDER_TEST_USER", "canary-user")
	code, out, problems := check(t, `
[upstream.crm]
url   = "https://crm.example"
auth  = { type = "basic", username = "env:OUTRIDER_TEST_USER", password = "" }
limit = { rate = "5/s", max_wait = "2s" }

[[upstream.crm.rule]]
match = "POST /charges"
cost  = 5
retry = { idempotency_header = "Idempotency-Key", mint_key = true }

[upstream.weather]
url   = "https://weather.example"
hosts = []
auth  = { type = "query", name = "appid", value = "canary-literal" }
retry = { attempts = 1 }
stale_if_error = "90m"
results = ["data", "."]
steady = true
answer = [{ match = "POST /batch", status = 200, field = "parts.status", at_least = 400, unless = "data", means = "partial" }]
hedge = true

[upstream.files]
url   = "https://bucket.s3.eu-west-1.amazonaws.com"
hosts = []
auth  = { type = "sigv4", access_key_id = "AKIDEXAMPLE", secret_access_key = "env:OUTRIDER_TEST_USER", session_token = "env:OUTRIDER_TEST_USER" }

[upstream.tables]
url   = "https://dynamodb.eu-west-1.amazonaws.com"
hosts = ["*.amazonaws.com"]
auth  = { type = "sigv4", access_key_id = "env:OUTRIDER_TEST_USER", secret_access_key = "env:OUTRIDER_TEST_USER", service = "dynamodb" }

[upstream.bot]
url   = "https://bot.example"
hosts = []
auth  = { type = "placeholder", value = "env:OUTRIDER_TEST_USER" }
`)
	if code != 0 || problems != "" {
		t.Fatalf("exit code %d, %s", code, problems)
	}
	for _, want := range []string{
		"is valid: 5 upstreams\n",
		"warning: upstream.weather.auth.value: literal secret; use env:NAME or file:PATH\n",
		"\ncrm → https://crm.example\n",
		"  proxy       for crm.example; https:// is opened with the local certificate authority\n",
		"  chain       deadline → retry → auth → circuit → limit → attempt\n",
		"  credential  basic, user from env:OUTRIDER_TEST_USER, password from \"\"\n",
		"  quota       5/s, and what its answers tell, per credential; waits up to 2s, 10000 in line\n",
		"  repeats     GET, HEAD, OPTIONS, PUT, DELETE; anything that was provably not sent\n",
		"  rule 1      POST /charges\n    cost      5 of the rate of each quota\n    repeats   GET, HEAD, OPTIONS, PUT, DELETE; POST and PATCH, under Idempotency-Key, which is added",
		"  credential  query appid, from a literal in the file\n",
		"  retry       off\n  hedge       a second GET or HEAD where the first takes longer than 95% did; at most 5% of calls, each paid from the budget of retries\n",
		"  chain       deadline → stale → results → retry → hedge → auth → circuit → limit → answer → attempt\n",
		"  answer      200 to POST /batch with parts.status >= 400, without data: partial\n",
		"  results     an alert when the lists that GET finds become empty: at data, or in the body itself\n",
		"  steady      an alert when calls that came for six hours stop\n",
		"  stale       if it fails, GET and HEAD get their last good answer, at most 1h30m old\n",
		"  chain       deadline → retry → auth → circuit → limit → credential → attempt\n",
		"  credential  sigv4, region eu-west-1, service s3, from a literal in the file and env:OUTRIDER_TEST_USER, session env:OUTRIDER_TEST_USER\n",
		"  credential  sigv4, region of each host, service dynamodb, from env:OUTRIDER_TEST_USER and env:OUTRIDER_TEST_USER\n",
		"  credential  placeholder, from env:OUTRIDER_TEST_USER, where the caller wrote outrider-placeholder-bot\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(out, "canary") {
		t.Error("a secret was printed")
	}
	if strings.Count(out, "  proxy ") != 2 {
		t.Error("an upstream without hosts cannot be reached by HTTP_PROXY")
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestCheckReportsEverythingAtOnce(t *testing.T) {
	code, out, problems := check(t, `
[upstream.crm]
url     = "https://crm.example"
timeout = 30
retry   = { atempts = 5 }
`)
	if code != 2 || out != "" {
		t.Errorf("exit code %d, %s", code, out)
	}
	for _, want := range []string{
		"config.toml:4: upstream.crm.timeout = 30: must be a time with its unit",
		"config.toml:5: upstream.crm.retry.atempts: unknown key; did you mean \"attempts\"?",
	} {
		if !strings.Contains(problems, want) {
			t.Errorf("it does not say %q in\n%s", want, problems)
		}
	}
}

// An upstream that is Outrider itself was valid, and each of its calls was refused.
// `outrider run` refuses it, and exec may go to another port: 8080 may be that of an API.
func TestUpstreamThatIsOutriderItselfIsAWarning(t *testing.T) {
	const keyed = "access_key = \"canary\"\n"
	for document, ourselves := range map[string]bool{
		`upstream.x.url = "http://127.0.0.1:8080"`:                                                                           true,
		`upstream.x.url = "http://LocalHost:8081/base"`:                                                                      true,
		"listen = \"localhost:80\"\nupstream.x.url = \"http://127.0.0.1\"":                                                   true,
		keyed + "listen = \":9443\"\nupstream.x.url = \"https://[::1]:9443\"":                                                true,
		"upstream.y = { url = \"https://y.test\", listen = \"127.0.0.1:9000\" }\nupstream.x.url = \"http://127.0.0.1:9000\"": true,

		`upstream.x.url = "http://127.0.0.1:8082"`:                                   false,
		`upstream.x.url = "http://127.0.0.2:8080"`:                                   false,
		`upstream.x.url = "http://[::1]:8080"`:                                       false,
		`upstream.x.url = "http://box.test:8080"`:                                    false,
		"listen = \"unix:/run/o.sock\"\nupstream.x.url = \"http://127.0.0.1:8080\"":  false,
		keyed + "listen = \"10.0.0.1:8080\"\nupstream.x.url = \"http://[::1]:8080\"": false,
	} {
		code, out, problems := check(t, document)
		warned := strings.Contains(out, "warning: upstream.x.url: ") && strings.Contains(out, " is a listener of Outrider itself: where is the API? (`outrider run` refuses it)")
		if warned != ourselves || code != 0 {
			t.Errorf("%s:\nexit code %d, %s%s", document, code, out, problems)
		}
	}
}

func TestCheckSaysWhatIsLearned(t *testing.T) {
	for limit, want := range map[string]string{
		``:                                "learned from its answers",
		`shape = "smooth"`:                "spread evenly, learned from its answers",
		`rate = "5/s", shape = "window"`:  "5/s, spent at once, and what its answers tell",
		`rate = "5/s", learn = false`:     "5/s, whatever its answers tell",
		`concurrency = 3, dialect="ietf"`: "3 at once, and what its answers tell, dialect ietf",
	} {
		_, out, problems := check(t, "[upstream.crm]\nurl = \"https://crm.example\"\nlimit = { "+limit+" }\n")
		if want = "  quota       " + want + ", per credential; "; !strings.Contains(out, want) {
			t.Errorf("{ %s }: it does not say %q in\n%s%s", limit, want, out, problems)
		}
	}
}
