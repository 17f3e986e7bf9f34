package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"outrider/bench/machine"
	"outrider/bench/subject"
)

// heading says when, on what machine and against which versions was measured.
func heading(ctx context.Context) string {
	return fmt.Sprintf("Measured on %s on %s, with %s, Caddy %s.\n",
		time.Now().UTC().Format("2 January 2006"), machine.Describe(), strings.Join(versions(ctx), ", "), strings.TrimPrefix(subject.CaddyVersion, "v"))
}

// versioned are the programs whose versions are said, with the way to ask them.
var versioned = [][]string{{"nginx", "-v"}, {"haproxy", "-v"}, {"squid", "-v"}, {"wrk", "-v"}, {"h2load", "--version"}, {"curl", "--version"}}

var version = regexp.MustCompile(`\d+\.\d+(\.\d+)*`)

func versions(ctx context.Context) []string {
	all := []string{strings.Replace(runtime.Version(), "go", "Go ", 1)}
	for _, command := range versioned {
		// wrk fails when it is asked, and says it all the same.
		output, _ := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		if found := version.FindString(string(output)); found != "" {
			all = append(all, command[0]+" "+found)
		}
	}
	return all
}
