"""The switch ends nginx and starts it with the new upstream, where a reload was called for."""

MODULE = "harness.drivers.embedded.processes"
CATCHES = "rollout/blue-green::a_new_gateway_goes_live_with_no_failed_request"
REASON = "no request failed"


def patch(module):
    port_of = module.proxy_port_name

    def restart(self, colour):
        self.edge.write(self.port(port_of(f"edge-{colour}")))
        self.stop("edge")
        self.start("edge")

    module.Processes.switch_edge = restart
