package subject

import (
	"os"
	"slices"
	"strings"
)

// The subjects, as the tables have them.
const (
	Outrider          = "Outrider"
	OutriderBare      = "Outrider, all off"
	OutriderUnsampled = "Outrider, sampling 0 %"
	Stock             = "stock Go stack"
	Nginx             = "nginx"
	HAProxy           = "HAProxy"
	Caddy             = "Caddy"
	Squid             = "squid"
)

// Names are all of them.
var Names = []string{Outrider, OutriderBare, OutriderUnsampled, Stock, Nginx, HAProxy, Caddy, Squid}

// outriderFile is the template of Outrider's configuration.
const outriderFile = "outrider.toml"

// A With says which of Outrider's configurations is meant; zero is the full chain.
type With struct {
	Name   string // in the tables; default: Outrider
	Bare   bool   // no credential, limit, retry, access log and spans
	Sample string // share of traces; default: all
	More   string // TOML, put behind
}

// NewOutrider is Outrider.
func NewOutrider(program string, with With) Subject {
	if with.Name == "" {
		with.Name = Outrider
	}
	if with.Sample == "" {
		with.Sample = "1.0"
	}
	return Subject{
		Name: with.Name, Program: program, configuration: outriderFile,
		arguments:   func(path string) []string { return []string{"run", "--config", path} },
		environment: []string{"BENCH_TOKEN=" + Token},
		bare:        with.Bare, sample: with.Sample, more: with.More,
	}
}

// NewNginx is nginx.
func NewNginx(program string) Subject {
	return Subject{Name: Nginx, Program: program, configuration: "nginx.conf", arguments: flag("-c")}
}

// NewHAProxy is HAProxy.
func NewHAProxy(program string) Subject {
	return Subject{Name: HAProxy, Program: program, configuration: "haproxy.cfg", arguments: flag("-db", "-f")}
}

// NewCaddy is Caddy.
func NewCaddy(program string) Subject {
	return Subject{Name: Caddy, Program: program, configuration: "Caddyfile", arguments: flag("run", "--adapter", "caddyfile", "--config")}
}

// NewSquid is squid, which is no reverse proxy here, but one for tunnels.
func NewSquid(program string) Subject {
	return Subject{Name: Squid, Program: program, configuration: "squid.conf", arguments: flag("-N", "-f")}
}

// NewStock is the stack of ./stock.
func NewStock(program string) Subject {
	return Subject{Name: Stock, Program: program, configuration: "stock.args", arguments: argumentsIn}
}

// flag is for programs that take the path of their configuration at the end.
func flag(before ...string) func(string) []string {
	return func(path string) []string { return append(slices.Clone(before), path) }
}

// argumentsIn are those that a file has in its only line.
func argumentsIn(path string) []string {
	line, err := os.ReadFile(path)
	if err != nil {
		return nil // the program says what it misses
	}
	return strings.Fields(string(line))
}
