package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"outrider/bench/subject"
)

// options are what the command line says.
type options struct {
	groups   []group
	subjects []string      // names of those that take part; nil: all
	outrider string        // path of a binary to measure in place of the repository's
	cache    string        // directory where Caddy is kept
	json     string        // path of a file for all figures; empty: none
	rounds   int           // how often each is measured
	sample   time.Duration // how long a sample takes
	smoke    bool          // only that everything works
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "groups to measure, separated by commas: "+strings.Join(groupNames(), ", ")+" (default: all)")
	with := flags.String("with", "", "what takes part where Outrider is not alone, separated by commas: "+strings.Join(subjectNames(), ", ")+" (default: all)")
	flags.StringVar(&o.outrider, "outrider", "", "path of an Outrider to measure (default: that of the repository, built)")
	flags.StringVar(&o.cache, "cache", defaultCache(), "directory where Caddy is kept, which takes minutes to build")
	flags.StringVar(&o.json, "json", "", "file to write all figures to")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each is measured")
	flags.DurationVar(&o.sample, "sample", 2*time.Second, "how long a sample takes, in whole seconds")
	flags.BoolVar(&o.smoke, "smoke", false, "see that everything works: Outrider and the stock Go stack, once, shortly")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%s: there are only flags", flags.Arg(0))
	}
	if o.rounds < 1 || o.sample < time.Second {
		return o, errors.New("-rounds and -sample: at least 1, and 1s")
	}
	if o.smoke {
		o.rounds, o.sample = 1, time.Second
	}
	return o, o.choose(*only, *with)
}

// choose picks groups and subjects by their names. Without names all are meant.
func (o *options) choose(only, with string) error {
	names, err := chosen("-only", only, groupNames())
	if err != nil {
		return err
	}
	for _, name := range names {
		o.groups = append(o.groups, groups[slices.Index(groupNames(), name)])
	}
	if with != "" {
		o.subjects, err = chosen("-with", with, subjectNames())
	}
	return err
}

// chosen are the names of a list, all of which have to be known.
func chosen(flag, list string, known []string) ([]string, error) {
	if list == "" {
		return known, nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%s %s: there are %s", flag, name, strings.Join(known, ", "))
		}
	}
	return names, nil
}

// subjectNames are those of the command line.
func subjectNames() []string {
	var names []string
	for _, name := range subject.Names {
		names = append(names, subject.Subject{Name: name}.Slug())
	}
	return names
}

// defaultCache is kept from one run to the next.
func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "outrider-bench")
}
