"""The configuration file, in Bifrost's own form.

file         read and written: atomically, for the owner alone, with a copy of the last one
editing      one key of it added, changed or taken out; what is not known stays
"""
