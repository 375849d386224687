package netfilter

import (
	"io"
	"net"
	"sync"
	"time"
)

// relayConfig says how long a relay lasts.
type relayConfig struct {
	idle  time.Duration
	meter *meter
	stop  <-chan struct{}
}

// relayed is what became of a connection.
type relayed struct {
	sent, received int64
	err            error
}

// splice moves bytes both ways until both have ended.
func splice(box, world *net.TCPConn, c relayConfig) relayed {
	var r relayed
	var wg sync.WaitGroup
	wg.Go(func() { r.sent, _ = io.Copy(world, box); world.CloseWrite() })
	wg.Go(func() { r.received, _ = io.Copy(box, world); box.CloseWrite() })
	wg.Wait()
	return r
}

// reset closes a connection with RST.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
