// Command cachectl looks into caches. This file is wiring only: it hands the
// process's streams, environment and signals to package commands, and says
// which backend serves which URL scheme, and which package which CDN.
package main

import (
	"context"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/embedded"
	"github.com/cachectl/cachectl/backends/memcached"
	"github.com/cachectl/cachectl/backends/redis"
	"github.com/cachectl/cachectl/commands"
	"github.com/cachectl/cachectl/purge"
	"github.com/cachectl/cachectl/purge/cloudflare"
	"github.com/cachectl/cachectl/purge/cloudfront"
	"github.com/cachectl/cachectl/purge/varnish"
)

// version is set by the release build.
var version = ""

func main() { os.Exit(run()) }

func run() int {
	// A walk makes much garbage and keeps little: collecting at 20 MB instead of
	// at 4 takes a fifth off its CPU time.
	debug.SetGCPercent(400)
	// The first Ctrl-C ends the work in good order, another ends the process, but
	// not at once: wrappers such as timeout send the same one twice.
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		ends = append(ends, syscall.SIGHUP) // the terminal is gone
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, func() { time.AfterFunc(patience, stop) })
	defer stop()
	defer memcached.HoldStops()()
	shop := &shop{}
	defer shop.close()
	return commands.Main(ctx, environment(shop), os.Args[1:]...)
}

// patience is how long a second Ctrl-C counts as the first.
const patience = 500 * time.Millisecond

func environment(shop *shop) *commands.Env {
	env := &commands.Env{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Term: commands.Term{
			In:  term.IsTerminal(int(os.Stdin.Fd())),
			Out: term.IsTerminal(int(os.Stdout.Fd())),
			Err: term.IsTerminal(int(os.Stderr.Fd())),
		},
		Getenv:  os.Getenv,
		Now:     time.Now,
		Schemes: backends.Schemes{"mem": shop.open},
		CDNs:    purge.Providers{"cloudfront": cloudfront.Open, "cloudflare": cloudflare.Open, "varnish": varnish.Open},
		Version: buildVersion(),
		Serve:   shop.serve,
	}
	if env.Term.Out {
		env.Term.Width, _, _ = term.GetSize(int(os.Stdout.Fd()))
	}
	for _, scheme := range redis.Schemes() {
		env.Schemes[scheme] = redis.Open
	}
	for _, scheme := range memcached.Schemes() {
		env.Schemes[scheme] = memcached.Open
	}
	return env
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// A shop is the embedded server behind mem://, started when it is first asked
// for and shared by all that ask.
type shop struct {
	once   sync.Once
	server *embedded.Server
	err    error
}

// customers is how many reads a second the shop's customers make.
const customers = 1000

func (s *shop) start(ctx context.Context) (*embedded.Server, error) {
	s.once.Do(func() {
		if s.server, s.err = embedded.Start(embedded.Options{Sample: true}); s.err == nil {
			go s.server.Traffic(ctx, customers)
		}
	})
	return s.server, s.err
}

func (s *shop) close() {
	s.once.Do(func() {})
	if s.server != nil {
		s.server.Close()
	}
}

func (s *shop) open(ctx context.Context, _ *url.URL) (backends.Backend, error) {
	server, err := s.start(ctx)
	if err != nil {
		return nil, err
	}
	return redis.OpenDial(ctx, "mem://", server.Dial)
}

func (s *shop) serve(ctx context.Context, addr string) (string, error) {
	server, err := s.start(ctx)
	if err != nil {
		return "", err
	}
	return server.Listen(addr)
}
