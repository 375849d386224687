package control

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	requestTime = time.Second // for a request to arrive
	replyTime   = time.Second // for an answer to be taken
	maxPeers    = 64          // connections at once
)

// Handler does what a verb says, for the process peer. It is called from many
// goroutines at once. The status is for Query and Describe.
type Handler func(v Verb, peer int) (*Status, error)

// Server answers at a control socket.
type Server struct {
	listener *net.UnixListener
	handle   Handler

	mu      sync.Mutex
	waiting []*net.UnixConn // for their requests, the oldest first
	closed  bool
	serving sync.WaitGroup
}

// Serve answers whoever connects to l, until Close.
func Serve(l *net.UnixListener, h Handler) *Server {
	s := &Server{listener: l, handle: h}
	s.serving.Add(1)
	go s.accept()
	return s
}

// Close ends the server, and returns when all answers are given.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true // before accept fails, and asks
	s.listener.Close()
	for _, c := range s.waiting {
		c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

func (s *Server) accept() {
	defer s.serving.Done()
	for {
		c, err := s.listener.AcceptUnix()
		switch {
		case err == nil:
			s.take(c)
		case s.isClosed():
			return
		default:
			time.Sleep(10 * time.Millisecond) // no descriptor is left, perhaps for a moment
		}
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// take begins to serve c. Where too many are silent, the one that has been for
// longest makes room.
func (s *Server) take(c *net.UnixConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return
	}
	if len(s.waiting) == maxPeers {
		s.waiting[0].Close()
		s.waiting = slices.Delete(s.waiting, 0, 1)
	}
	s.waiting = append(s.waiting, c)
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		defer c.Close()
		s.serve(c)
	}()
}

// heard takes c from those who are waited for; false if it was closed.
func (s *Server) heard(c *net.UnixConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiting, c)
	if i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	return i >= 0
}

func (s *Server) serve(c *net.UnixConn) {
	answer, ok := s.answer(c)
	if ok {
		c.SetWriteDeadline(time.Now().Add(replyTime))
		c.Write(encode(answer))
	}
}

func (s *Server) answer(c *net.UnixConn) (reply, bool) {
	c.SetReadDeadline(time.Now().Add(requestTime))
	r := bufio.NewReaderSize(c, maxRequest)
	line, err := r.ReadSlice('\n')
	if !s.heard(c) || err != nil && len(line) < maxRequest {
		return reply{}, false // it says nothing
	}
	peer, err := credentials(c)
	if err == nil && !permitted(peer.Uid) {
		err = fmt.Errorf("this run belongs to user %d, and you are user %d", os.Geteuid(), peer.Uid)
	}
	if err != nil {
		return reply{Error: err.Error()}, true
	}
	verb, err := decode(line)
	if err == nil && r.Buffered() > 0 {
		err = errRequest
	}
	if err != nil {
		return reply{Error: err.Error()}, true
	}
	status, err := s.handle(verb, int(peer.Pid))
	if err != nil {
		return reply{Error: err.Error()}, true
	}
	return reply{Status: status}, true
}

// credentials are those that the peer had when it connected (unix(7),
// SO_PEERCRED).
func credentials(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	return cred, failed
}

// permitted is a second lock: the directory of the socket is nobody else's.
func permitted(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }
