package config

import (
	"net"
	"strconv"
	"strings"
)

// GitHubApp is an app of GitHub that acts as one of its installations.
type GitHubApp struct {
	AppID          Reference // a number, or the client id of the app
	InstallationID Reference // a number
	Repositories   string    // names without the owner, separated by spaces; "": all
	Permissions    string    // name=level, form-encoded; "": all
	APIURL         string    // where the API is
}

const githubAPI = "https://api.github.com"

var githubKeys = table[GitHubApp]{
	value("app_id", func(a *GitHubApp) *Reference { return &a.AppID }, readNumber),
	value("installation_id", func(a *GitHubApp) *Reference { return &a.InstallationID }, readNumber),
	words("repositories", func(a *GitHubApp) *string { return &a.Repositories }, func(name string) string {
		if name == "" || strings.ContainsAny(name, "/ ") {
			return "must be the name of one repository, without its owner"
		}
		return ""
	}),
	namedTexts("permissions", func(a *GitHubApp) *string { return &a.Permissions }, `must be a table, such as { contents = "read" }`,
		func(_, level string) string { return oneOf("read", "write", "admin")(level) }),
	apiURL("api_url"),
}

// readNumber reads what identifies something of GitHub's: a reference, or the number
// itself, in quotes or not.
func readNumber(n node) (Reference, bool) {
	if number, ok := n.raw.(int64); ok {
		if number < 1 {
			n.fail("must be a number from 1 on")
		}
		return Reference(strconv.FormatInt(number, 10)), number >= 1
	}
	return readReference(n)
}

// apiURL reads where an API is.
func apiURL(key string) field[GitHubApp] {
	return value(key, func(a *GitHubApp) *string { return &a.APIURL }, readText, func(v string) string {
		u, problem := parseURL(v)
		switch {
		case problem != "":
			return problem
		case u.Scheme == "http" && !loopback(net.JoinHostPort(u.Hostname(), "0")):
			return "must be https: the assertion of the app is sent there"
		case u.RawQuery != "":
			return "must not have a query"
		}
		return ""
	})
}
