package config_test

import (
	"errors"
	"fmt"

	"outrider/policy/config"
)

func ExampleParse() {
	f, err := config.Parse("config.toml", []byte(`
[upstream.github]
url  = "https://api.github.com"
auth = { type = "bearer", token = "env:GITHUB_TOKEN" }

[[upstream.github.rule]]
match = "GET /search/**"
limit = { rate = "30/m" }
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	github := f.Upstreams[0]
	fmt.Println(github.Name, github.URL, github.Hosts, github.Auth.Token)
	fmt.Println(github.Timeout, github.Retry.Attempts)
	fmt.Println(github.Rules[0].Source, github.Rules[0].Limits[0].Rate)
	// Output:
	// github https://api.github.com [api.github.com] env:GITHUB_TOKEN
	// 1m0s 3
	// GET /search/** 30/m
}

// Everything that is wrong is reported at once.
func ExampleErrors() {
	_, err := config.Parse("config.toml", []byte(`
[upstream.github]
url     = "https://api.github.com"
timeout = 5
retry   = { attempts = 0, budgt = "10%" }
`))
	fmt.Println(err)
	var all config.Errors
	if errors.As(err, &all) {
		fmt.Println(len(all), "errors, the first at line", all[0].Line)
	}
	// Output:
	// config.toml:4: upstream.github.timeout = 5: must be a time with its unit (ms, s, m, h), such as "10s"
	// config.toml:5: upstream.github.retry.attempts = 0: must be at least 1
	// config.toml:5: upstream.github.retry.budgt: unknown key; did you mean "budget"?
	// 3 errors, the first at line 4
}

func ExampleMatch_Matches() {
	m := config.Match{Methods: []string{"POST"}, Path: "/services/data/*/sobjects/**"}
	fmt.Println(m.Matches("POST", "/services/data/v60.0/sobjects/Contact"))
	fmt.Println(m.Matches("GET", "/services/data/v60.0/sobjects/Contact"))
	// Output:
	// true
	// false
}

func ExampleReference() {
	fmt.Println(config.Reference("env:TOKEN"), config.Reference("a literal secret"))
	// Output: env:TOKEN REDACTED
}
