"""Call OpenAI's API, and the servers that speak like it: vLLM, SGLang, llama.cpp, gateways.

One endpoint makes one operation, which README.md beside this file lists with all options.
"""
