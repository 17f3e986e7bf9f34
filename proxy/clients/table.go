package clients

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// An entry is one thing that clients are told, under all names that it has.
type entry struct {
	names   []string
	readers string
	value   func(d *desk) string // "": there is nothing to tell
}

// table is what clients are told, and who listens, save for rootsTable.
var table = []entry{
	{one("http_proxy", "HTTP_PROXY"), "nearly everyone; curl, wget and git only in lower case; Ruby also for https", proxyURL},
	{one("https_proxy", "HTTPS_PROXY"), "nearly everyone; wget only in lower case", proxyURL},
	{one("all_proxy", "ALL_PROXY"), "curl, git, Python requests and httpx, HTTP::Tiny", proxyURL},
	{one("no_proxy", "NO_PROXY"), "everyone who reads the three above", noProxy},

	{one("NODE_USE_ENV_PROXY"), "Node 22.21 and later: fetch and the agents that it makes itself", always("1")},
	{one("NODE_OPTIONS"), "every Node: preloads what takes the other clients to the proxy", nodeOptions},
	{one("NODE_EXTRA_CA_CERTS"), "Node and Bun, beside their own roots", nodeRoots},

	{one("SSL_CERT_DIR"), "OpenSSL, Go and .NET, beside SSL_CERT_FILE", certDirs},
	{one("WGETRC"), "wget, which has no variable for roots; your own settings are included", (*desk).wgetrcPath},
	{one("PHP_INI_SCAN_DIR"), "PHP, which has no variable for roots: curl.cainfo and openssl.cafile", (*desk).phpScanDir},
	{one("PERL_LWP_ENV_PROXY"), "Perl LWP, without which it reads no proxy variable", always("1")},
	{one("JAVA_TOOL_OPTIONS"), "every JVM, which says so on stderr; one cannot give it an access key", javaOptions},
}

// rootsTable are the variables that name one file with roots, PEM, which takes the
// place of those that the client knows.
var rootsTable = []struct{ name, readers string }{
	{"npm_config_cafile", "npm and pnpm"},
	{"SSL_CERT_FILE", "OpenSSL and all that uses it as it comes: Python urllib, httpx and aiohttp, Ruby, curl; Go, .NET, uv"},
	{"REQUESTS_CA_BUNDLE", "Python requests, and what stands on it"},
	{"PIP_CERT", "pip"},
	{"HTTPLIB2_CA_CERTS", "Python httplib2, and with it older Google clients"},
	{"CURL_CA_BUNDLE", "curl"},
	{"GIT_SSL_CAINFO", "git"},
	{"AWS_CA_BUNDLE", "AWS CLI and SDKs"},
	{"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "gcloud"},
	{"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "gRPC of C++, Python, Ruby and PHP"},
	{"TWILIO_CA_BUNDLE", "Twilio's Node SDK"},
	{"DENO_CERT", "Deno"},
	{"CARGO_HTTP_CAINFO", "Cargo"},
	{"NIX_SSL_CERT_FILE", "Nix, and what it built"},
	{"BUNDLE_SSL_CA_CERT", "Bundler"},
	{"COMPOSER_CAFILE", "Composer"},
	{"PERL_LWP_SSL_CA_FILE", "Perl LWP"},
}

func one(names ...string) []string { return names }

func always(value string) func(*desk) string { return func(*desk) string { return value } }

func proxyURL(d *desk) string { return d.proxy.String() }

func noProxy(d *desk) string { return strings.Join(d.direct, ",") }

// nodeRoots is short where it can be: Node parses the file at every start, and
// has the roots of the web already.
func nodeRoots(d *desk) string {
	if d.existing("NODE_EXTRA_CA_CERTS") != "" && d.existing("NODE_EXTRA_CA_CERTS") != d.Root {
		return d.bundle
	}
	return d.Root
}

// systemCertDir is where OpenSSL looks if nobody says otherwise.
const systemCertDir = "/etc/ssl/certs"

// certDirs puts ours in front of what is looked into already. A list is as good
// as one directory to OpenSSL and to Go.
func certDirs(d *desk) string {
	if d.CertDir == "" {
		return ""
	}
	dirs := []string{d.CertDir}
	known := d.Environ("SSL_CERT_DIR")
	if known == "" && runtime.GOOS != "windows" {
		if info, err := os.Stat(systemCertDir); err == nil && info.IsDir() {
			known = systemCertDir
		}
	}
	for _, dir := range filepath.SplitList(known) {
		if dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, string(filepath.ListSeparator))
}
