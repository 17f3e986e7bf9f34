package policy

import (
	"hash/maphash"
	"net/http"
	"strconv"
	"sync/atomic"

	"outrider/policy/config"
)

// credentialName names the credential of a rule by the first place that has it:
// two rules with one credential spend from one quota.
func credentialName(cfg *config.Upstream, rule int) string {
	if cfg.Rules[rule].Auth == cfg.Auth {
		return "default"
	}
	for _, earlier := range cfg.Rules[:rule] {
		if earlier.Auth == cfg.Rules[rule].Auth {
			return earlier.Source
		}
	}
	return cfg.Rules[rule].Source
}

// keys name the quota and the circuit that an attempt belongs to.
type keys struct {
	upstream   string
	name       string // of the credential that it carries
	credential func(*http.Request) string
}

func (k keys) per(per string) func(*http.Request) string {
	switch per {
	case "host":
		return func(req *http.Request) string { return req.URL.Host }
	case "upstream":
		return func(*http.Request) string { return k.upstream }
	}
	return k.credential
}

// keySeed keeps the keys of callers' own credentials from being guessed back. They are
// others in each process.
var keySeed = maphash.MakeSeed()

// callerMark is in the keys of callers' own credentials, and in no others: no connection
// has a colon in its name.
const callerMark = " caller:"

func (u *Upstream) keys(credential string) keys {
	k := keys{upstream: u.Config.Name, name: credential}
	switch credential {
	case "default":
		k.credential = func(req *http.Request) string { return req.URL.Host }
	case "passthrough":
		k.credential = new(callerKeys).of
	default:
		k.credential = func(req *http.Request) string { return req.URL.Host + " " + credential }
	}
	return k
}

// callerKeys names the quotas of callers' own credentials. One attempt is asked for its
// name several times, and most often it is that of the last.
type callerKeys struct{ last atomic.Pointer[callerKey] }

type callerKey struct {
	host string
	mark uint64 // of the credential
	name string
}

func (c *callerKeys) of(req *http.Request) string {
	own := first(req.Header["Authorization"]) + first(req.Header["X-Api-Key"])
	if own == "" {
		return req.URL.Host
	}
	host, mark := req.URL.Host, maphash.String(keySeed, own)>>32
	if last := c.last.Load(); last != nil && last.mark == mark && last.host == host {
		return last.name
	}
	name := host + callerMark + strconv.FormatUint(mark, 16)
	c.last.Store(&callerKey{name[:len(host)], mark, name}) // which keeps nothing of the request
	return name
}

// first is the value of a field that is read once; "": it is not there.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// connectionKeys are the keys of a call that names a connection: each has its own quota
// and circuit.
func (u *Upstream) connectionKeys(name string) keys {
	return keys{
		upstream: u.Config.Name, name: ConnectionCredential(name),
		credential: func(req *http.Request) string { return req.URL.Host + " " + name },
	}
}
