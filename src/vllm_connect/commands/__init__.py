"""What `vllm-connect check`, `demo` and `sim` do.

probes      the operations, each with a small request that shows whether a server has it
asking      puts a probe to a server, through either client
outcomes    what came of it
facts       what a server tells of itself
check       facts and outcomes of one server           check_page   … for people
demo        every probe through both clients           demo_page    … for people
quirks      what goes wrong with servers, and what the client makes of it
app         arguments and exit codes
"""
