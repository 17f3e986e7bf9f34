package clients

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Probe makes one call with one client, as an application does that knows
// nothing of proxies, in the environment of [Variables].
type Probe struct {
	Client string // what is probed: "Python requests"
	// Programs are the names under which the client may be found. The first one
	// with which Find succeeds is used; {program} stands for it.
	Programs []string
	Find     []string // a command that succeeds where the client is installed
	// Call is the command that makes the call. {url} stands for what is called,
	// {script} for the file of the script, {null} for the file that swallows all.
	Call   []string
	Script string // file below probes; "": none
	Note   string // what applications have to do themselves; "": nothing

	// One line each, for a client that did not arrive although it was told how.
	Direct  string // it went past the proxy
	Refused string // it did not take the certificate authority
	Keyed   string // it did not show the access key; "": there is nothing special to it
}

// Self stands for the program that probes, which is one in Go itself.
const Self = "{self}"

// javaKey is how a program in Java shows an access key: there is no option for it.
const javaKey = "java takes no access key from outside: call base URLs with the header Outrider-Key, or set an Authenticator"

var (
	python = []string{"python3", "/usr/bin/python3", "python"}
	node   = []string{"node"}
	java   = []string{"java"}
	perl   = []string{"perl"}
)

// Probes are the probes of all clients that we know.
func Probes() []Probe { return append([]Probe(nil), probes...) }

var probes = []Probe{
	{Client: "curl", Programs: []string{"curl"}, Find: []string{"{program}", "--version"},
		Call:    []string{"{program}", "-sS", "--fail", "--max-time", "8", "-o", "{null}", "{url}"},
		Direct:  "look for proxy and noproxy in ~/.curlrc",
		Refused: "look for cacert in ~/.curlrc; a curl that was built without OpenSSL needs curl --cacert \"$SSL_CERT_FILE\""},
	{Client: "wget", Programs: []string{"wget"}, Find: []string{"{program}", "--version"},
		Call:    []string{"{program}", "-q", "--tries=1", "--timeout=8", "-O", "{null}", "{url}"},
		Direct:  "look for no_proxy and use_proxy in /etc/wgetrc",
		Refused: "wget --ca-certificate=\"$SSL_CERT_FILE\""},
	{Client: "git", Programs: []string{"git"}, Find: []string{"{program}", "--version"},
		Call:    []string{"{program}", "ls-remote", "{url}"},
		Direct:  "git config --global --unset-all http.proxy",
		Refused: "git config --global --unset-all http.sslCAInfo"},

	{Client: "Python urllib", Programs: python, Find: []string{"{program}", "-c", "import ssl"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "urllib_get.py",
		Direct:  "remove build_opener(ProxyHandler({})) from the application",
		Refused: "ssl.create_default_context(cafile=os.environ[\"SSL_CERT_FILE\"])"},
	{Client: "Python requests", Programs: python, Find: []string{"{program}", "-c", "import requests"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "requests_get.py",
		Direct:  "remove trust_env = False from the application's sessions",
		Refused: "requests.get(…, verify=os.environ[\"REQUESTS_CA_BUNDLE\"])"},
	{Client: "Python httpx", Programs: python, Find: []string{"{program}", "-c", "import httpx"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "httpx_get.py",
		Direct:  "remove trust_env=False from the application's clients",
		Refused: "httpx.Client(verify=ssl.create_default_context(cafile=os.environ[\"SSL_CERT_FILE\"]))"},
	{Client: "Python aiohttp", Programs: python, Find: []string{"{program}", "-c", "import aiohttp"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "aiohttp_get.py",
		Note:    "applications need ClientSession(trust_env=True), as this probe has",
		Direct:  "aiohttp.ClientSession(trust_env=True)",
		Refused: "aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=os.environ[\"SSL_CERT_FILE\"]))"},

	{Client: "Node fetch", Programs: node, Find: []string{"{program}", "-e", "fetch"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "fetch.cjs",
		Direct:  "see that nothing on the way to node clears NODE_OPTIONS",
		Refused: "see that nothing on the way to node clears NODE_EXTRA_CA_CERTS"},
	{Client: "Node, own agent", Programs: node, Find: []string{"{program}", "--version"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "agent.cjs",
		Direct:  "see that nothing on the way to node clears NODE_OPTIONS",
		Refused: "see that nothing on the way to node clears NODE_EXTRA_CA_CERTS"},

	{Client: "Go net/http", Call: []string{Self, "{url}"},
		Direct:  "transport.Proxy = http.ProxyFromEnvironment",
		Refused: "outrider ca trust   # Go on macOS and Windows asks the system alone"},

	{Client: "Java HttpURLConnection", Programs: java, Find: []string{"{program}", "--describe-module", "jdk.compiler"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "URLConnection.java",
		Direct:  "see that nothing on the way to java clears JAVA_TOOL_OPTIONS, or sets -Dhttp.proxyHost again",
		Refused: "see that nothing sets -Djavax.net.ssl.trustStore again",
		Keyed:   javaKey},
	{Client: "Java HttpClient", Programs: java, Find: []string{"{program}", "--describe-module", "jdk.compiler"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "Client.java",
		Direct:  "see that nothing on the way to java clears JAVA_TOOL_OPTIONS, or sets -Dhttp.proxyHost again",
		Refused: "see that nothing sets -Djavax.net.ssl.trustStore again",
		Keyed:   javaKey},

	{Client: "Ruby Net::HTTP", Programs: []string{"ruby"}, Find: []string{"{program}", "-e", "require 'net/https'"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "nethttp.rb",
		Direct:  "remove the nil proxy from Net::HTTP.new(host, port, nil)",
		Refused: "http.ca_file = ENV[\"SSL_CERT_FILE\"]"},

	{Client: "PHP curl", Programs: []string{"php"}, Find: []string{"{program}", "-r", "exit(function_exists('curl_init') ? 0 : 1);"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "curl.php",
		Direct:  "remove CURLOPT_PROXY and CURLOPT_NOPROXY from the application",
		Refused: "php -d curl.cainfo=\"$SSL_CERT_FILE\""},
	{Client: "PHP streams", Programs: []string{"php"}, Find: []string{"{program}", "-r", "exit(extension_loaded('openssl') ? 0 : 1);"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "streams.php",
		Note:    "applications need a context with proxy and request_fulluri, as this probe has",
		Direct:  "stream_context_create(['http' => ['proxy' => 'tcp://…', 'request_fulluri' => true]])",
		Refused: "php -d openssl.cafile=\"$SSL_CERT_FILE\""},

	{Client: "Perl LWP", Programs: perl, Find: []string{"{program}", "-MLWP::UserAgent", "-MLWP::Protocol::https", "-e", "1"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "lwp.pl",
		Direct:  "LWP::UserAgent->new(env_proxy => 1)",
		Refused: "LWP::UserAgent->new(ssl_opts => {SSL_ca_file => $ENV{SSL_CERT_FILE}})"},
	{Client: "Perl HTTP::Tiny", Programs: perl, Find: []string{"{program}", "-MHTTP::Tiny", "-MIO::Socket::SSL", "-MNet::SSLeay", "-e", "1"},
		Call: []string{"{program}", "{script}", "{url}"}, Script: "tiny.pl",
		Direct:  "remove proxy => undef from HTTP::Tiny->new",
		Refused: "HTTP::Tiny->new(SSL_options => {SSL_ca_file => $ENV{SSL_CERT_FILE}})"},
}

//go:embed probes
var scripts embed.FS

// WriteProbes writes the scripts of all probes into a directory.
func WriteProbes(dir string) error {
	return fs.WalkDir(scripts, "probes", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := scripts.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, entry.Name()), data, 0o600)
	})
}

// Command is a command of the probe with what its placeholders stand for. dir
// is where WriteProbes wrote, self the command that stands for Self.
func (p Probe) Command(words []string, program, url, dir string, self []string) []string {
	replace := strings.NewReplacer("{program}", program, "{url}", url, "{script}", filepath.Join(dir, p.Script), "{null}", os.DevNull)
	var command []string
	for _, word := range words {
		if word == Self {
			command = append(command, self...)
			continue
		}
		command = append(command, replace.Replace(word))
	}
	return command
}
