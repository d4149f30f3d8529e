package redisbridge

import (
	_ "embed" // embeds the scripts, which are separate files

	"github.com/redis/go-redis/v9"
)

// publishSource is publish.lua. It gives a batch its number, writes it to the log and publishes it. One call carries the
// batches of many lanes.
//
//go:embed publish.lua
var publishSource string

// readSource is read.lua. It returns a lane's log from a given place on, together with the current epoch.
//
//go:embed read.lua
var readSource string

// metaSource is meta.lua. It writes the agreement of the nodes back.
//
//go:embed meta.lua
var metaSource string

var (
	publishScript = redis.NewScript(publishSource)
	readScript    = redis.NewScript(readSource)
	metaScript    = redis.NewScript(metaSource)
)
