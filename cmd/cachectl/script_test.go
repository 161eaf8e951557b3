package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cachectl": main})
}

// TestScripts runs testdata/script/*.txtar: the program as its user sees it,
// against real servers. The scripts know them by these variables:
//
//	REDIS    a server of the script's own kind, with no password
//	LOCKED   one with the password "open sesame"
//	LIMITED  one whose user "app", password "limited", may not look at memory, and
//	         whose user "reader", password "reader", may not write
//	VICTIM   one that a script may shut down; VICTIMPORT is its port
//	REPLICA  a replica whose master is away
//	SECURE   one that wants TLS; CA, CERT and KEY are files
//	MEMCACHED, MEMCACHED2, OLDMEMCACHED  two newer ones and the system's
//	OWNMEMCACHED1 to 4  of warm, restore and (two) copy alone
//	FRONT    an nginx that caches in front of a small shop
//	CLUSTER  a node of a cluster of three masters; BROKEN of one that lost a master
//
// Every script has CDNs of its own, which the environment names as users do. The
// scripts have the commands "status N PROGRAM ARGS..." (the exit status must be N),
// "redis ADDR[/DB] COMMAND ARGS..." (a command sent as it is), "purges CDN FILE"
// (what the CDN was asked to purge) and "faults CDN FAULT..." (what its next
// answers are instead).
func TestScripts(t *testing.T) {
	v := servers.Default(t)
	plain := servers.Redis(t, v, servers.Options{Args: []string{"--databases", "64"}})
	locked := servers.Redis(t, v, servers.Options{Password: "open sesame"})
	limited := servers.Redis(t, v, servers.Options{ACL: []string{"user app on >limited ~* +@all -memory -object", "user reader on >reader ~* +@all -@write"}})
	secure := servers.Redis(t, v, servers.Options{TLS: true})
	cluster := servers.Cluster(t, v, 3, 0, servers.Options{})
	broken := servers.Cluster(t, v, 3, 0, servers.Options{Args: []string{"--cluster-require-full-coverage", "no"}})
	fillCluster(t, broken[0].Addr)
	broken[2].Kill()
	victim := servers.Redis(t, v, servers.Options{})
	replica := servers.Redis(t, v, servers.Options{Args: []string{"--replicaof", "127.0.0.1 1"}})
	memcacheds := servers.Memcacheds(t)
	newest := memcacheds[len(memcacheds)-1]
	mem, mem2 := servers.Memcached(t, newest, servers.Options{}), servers.Memcached(t, newest, servers.Options{})
	var owned []*servers.Server // each of one script, which may empty it
	for range 4 {
		owned = append(owned, servers.Memcached(t, newest, servers.Options{}))
	}
	oldMem := servers.Memcached(t, memcacheds[0], servers.Options{})
	front := startFront(t)

	params := testscript.Params{
		Dir: "../../testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("REDIS", plain.Addr)
			e.Setenv("LOCKED", locked.Addr)
			e.Setenv("LIMITED", limited.Addr)
			e.Setenv("REPLICA", replica.Addr)
			e.Setenv("SECURE", secure.Addr)
			e.Setenv("CA", secure.CA)
			e.Setenv("CERT", secure.Cert)
			e.Setenv("KEY", secure.Key)
			e.Setenv("CLUSTER", cluster[0].Addr)
			e.Setenv("BROKEN", broken[0].Addr)
			e.Setenv("LOST", broken[2].Addr)
			e.Setenv("VICTIM", victim.Addr)
			e.Setenv("VICTIMPORT", strings.TrimPrefix(victim.Addr, "127.0.0.1:"))
			e.Setenv("MEMCACHED", mem.Addr)
			e.Setenv("MEMCACHED2", mem2.Addr)
			for i, own := range owned {
				e.Setenv(fmt.Sprintf("OWNMEMCACHED%d", i+1), own.Addr)
			}
			e.Setenv("OLDMEMCACHED", oldMem.Addr)
			e.Setenv("FRONT", front)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("GORACE", os.Getenv("GORACE"))
			startCDNs(t, e)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":    status,
			"redis":     send,
			"backup":    backupOf,
			"damage":    damage,
			"memcached": sendText,
			"purges":    purges,
			"faults":    faults,
		},
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
	}
	testscript.Run(t, params)
}

func fillCluster(t *testing.T, addr string) {
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}})
	defer c.Close()
	for i := range 300 {
		if err := c.Set(t.Context(), "key:"+strconv.Itoa(i), "v", time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// status runs a program and fails the script unless it exits with the status given.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// sendText sends a line to a memcached, a second one as its data, and fails the
// script unless the answer begins with the word given: "memcached ADDR STORED LINE [DATA]".
func sendText(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: memcached addr answer line [data]")
	}
	conn, err := net.Dial("tcp", args[0])
	ts.Check(err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = io.WriteString(conn, strings.Join(args[2:], "\r\n")+"\r\n")
	ts.Check(err)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	ts.Check(err)
	if !strings.HasPrefix(answer, args[1]) {
		ts.Fatalf("%q answers %q, want %q", args[2], answer, args[1])
	}
}

// send sends one command; arguments are unescaped as Go strings, so that any
// byte can be sent.
func send(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: redis addr command args...")
	}
	addr, db, _ := strings.Cut(args[0], "/")
	number, _ := strconv.Atoi(db)
	c := redis.NewClient(&redis.Options{Addr: addr, DB: number, Protocol: 2})
	defer c.Close()
	var command []any
	for _, a := range args[1:] {
		if strings.Contains(a, `\`) {
			unquoted, err := strconv.Unquote(`"` + strings.ReplaceAll(a, `"`, `\"`) + `"`)
			ts.Check(err)
			a = unquoted
		}
		command = append(command, a)
	}
	if err := c.Do(context.Background(), command...).Err(); err != nil && !errors.Is(err, redis.Nil) {
		ts.Fatalf("%v: %v", args, err)
	}
}
