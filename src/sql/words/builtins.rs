//! The built-in functions that only compute a value: what they read is their arguments, the clock, chance, or what a
//! session has alike on all servers.
//!
//! Asked of MySQL 9.7.4 and MariaDB 11.8.6 themselves: a name is here only if a call of it does not end in "FUNCTION
//! db.name does not exist". Those that came with a late version are not taken for built-in before it.

/// Names, and the first version of MySQL and of MariaDB that has them.
pub(super) struct Group {
    pub(super) since: [u32; 2],
    /// Lower-cased, with white space between.
    pub(super) names: &'static str,
}

/// No version has it.
pub(super) const NEVER: u32 = u32::MAX;

/// All of them.
pub(super) const GROUPS: &[Group] = &[
    Group {
        since: [0, 0],
        names: "abs acos adddate addtime aes_decrypt aes_encrypt ascii asin atan atan2 avg benchmark bin bit_and \
            bit_count bit_length bit_or bit_xor cast ceil ceiling char_length character_length charset \
            coalesce coercibility collation compress concat concat_ws connection_id conv convert convert_tz \
            cos cot count crc32 curdate current_date current_time current_timestamp current_user curtime \
            database date date_add date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear \
            default degrees elt exp export_set extract extractvalue field find_in_set floor format \
            from_base64 from_days from_unixtime geometrycollection get_format greatest group_concat hex hour \
            if ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa instr is_ipv4 is_ipv4_compat is_ipv4_mapped \
            is_ipv6 isnull json_array json_array_append json_array_insert json_contains json_contains_path \
            json_depth json_extract json_insert json_keys json_length json_merge json_object json_quote \
            json_remove json_replace json_search json_set json_type json_unquote json_valid last_day lcase \
            least left length linestring ln localtime localtimestamp locate log log10 log2 lower lpad ltrim \
            make_set makedate maketime match max mbrcontains mbrdisjoint mbrequals mbrintersects mbroverlaps \
            mbrtouches mbrwithin md5 microsecond min minute mod month monthname multilinestring multipoint \
            multipolygon name_const now nullif oct octet_length ord period_add period_diff pi point polygon \
            position pow power quarter quote radians rand repeat replace reverse right round rpad rtrim \
            schema sec_to_time second session_user sha sha1 sha2 sign sin sleep soundex space sqrt st_area \
            st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_centroid st_contains \
            st_convexhull st_crosses st_difference st_dimension st_disjoint st_distance st_endpoint \
            st_envelope st_equals st_exteriorring st_geomcollfromtext st_geomcollfromwkb \
            st_geometrycollectionfromtext st_geometrycollectionfromwkb st_geometryfromtext \
            st_geometryfromwkb st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext \
            st_geomfromwkb st_interiorringn st_intersection st_intersects st_isclosed st_isempty st_issimple \
            st_length st_linefromtext st_linefromwkb st_linestringfromtext st_linestringfromwkb \
            st_mlinefromtext st_mlinefromwkb st_mpointfromtext st_mpointfromwkb st_mpolyfromtext \
            st_mpolyfromwkb st_multilinestringfromtext st_multilinestringfromwkb st_multipointfromtext \
            st_multipointfromwkb st_multipolygonfromtext st_multipolygonfromwkb st_numgeometries \
            st_numinteriorrings st_numpoints st_overlaps st_pointfromtext st_pointfromwkb st_pointn \
            st_polyfromtext st_polyfromwkb st_polygonfromtext st_polygonfromwkb st_srid st_startpoint \
            st_symdifference st_touches st_union st_within st_x st_y std stddev stddev_pop stddev_samp \
            str_to_date strcmp subdate substring_index subtime sum sysdate system_user tan time time_format \
            time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_days to_seconds trim \
            truncate ucase uncompress uncompressed_length unhex unix_timestamp updatexml upper user utc_date \
            utc_time utc_timestamp uuid uuid_short values var_pop var_samp variance version week weekday \
            weekofyear weight_string year yearweek",
    },
    Group { since: [0, 101_100], names: "random_bytes st_distance_sphere" },
    Group { since: [0, NEVER], names: "geomcollection gtid_subset gtid_subtract validate_password_strength" },
    Group {
        since: [80_024, 0],
        names: "cume_dist current_role dense_rank first_value json_merge_patch json_merge_preserve json_value \
            lag last_value lead nth_value ntile percent_rank rank regexp_instr regexp_replace regexp_substr \
            row_number",
    },
    Group { since: [80_024, 101_100], names: "json_arrayagg json_objectagg json_overlaps json_pretty" },
    Group { since: [80_024, 110_800], names: "format_bytes format_pico_time json_schema_valid" },
    Group {
        since: [80_024, NEVER],
        names: "any_value bin_to_uuid current_role_in current_user_in grouping icu_version is_uuid \
            json_schema_validation_report json_storage_free json_storage_size mbrcoveredby mbrcovers \
            regexp_like roles_graphml st_buffer_strategy st_collect st_frechetdistance st_geohash \
            st_geomcollfromtxt st_hausdorffdistance st_isvalid st_latfromgeohash st_latitude \
            st_lineinterpolatepoint st_lineinterpolatepoints st_longfromgeohash st_longitude st_makeenvelope \
            st_numinteriorring st_pointatdistance st_pointfromgeohash st_simplify st_swapxy st_transform \
            st_validate statement_digest statement_digest_text uuid_to_bin version_with_update",
    },
    Group {
        since: [90_000, NEVER],
        names: "from_vector string_to_vector to_vector vector_dim vector_to_string",
    },
    Group {
        since: [NEVER, 0],
        names: "area asbinary astext aswkb aswkt boundary buffer centroid chr column_add column_check \
            column_create column_delete column_exists column_get column_json column_list \
            concat_operator_oracle contains convexhull crosses decode decode_histogram decode_oracle \
            des_decrypt des_encrypt dimension disjoint encode encrypt endpoint envelope equals exteriorring \
            geomcollfromtext geomcollfromwkb geometrycollectionfromtext geometrycollectionfromwkb \
            geometryfromtext geometryfromwkb geometryn geometrytype geomfromtext geomfromwkb glength \
            interiorringn intersects isclosed isempty isring issimple json_compact json_detailed json_exists \
            json_loose json_query json_value last_value lengthb linefromtext linefromwkb linestringfromtext \
            linestringfromwkb lpad_oracle ltrim_oracle mbrequal median mlinefromtext mlinefromwkb \
            mpointfromtext mpointfromwkb mpolyfromtext mpolyfromwkb multilinestringfromtext \
            multilinestringfromwkb multipointfromtext multipointfromwkb multipolygonfromtext \
            multipolygonfromwkb numgeometries numinteriorrings numpoints nvl nvl2 old_password overlaps \
            password percentile_cont percentile_disc pointfromtext pointfromwkb pointn pointonsurface \
            polyfromtext polyfromwkb polygonfromtext polygonfromwkb replace_oracle rpad_oracle rtrim_oracle \
            srid st_boundary st_isring st_pointonsurface st_relate startpoint substr_oracle touches \
            trim_oracle within x y",
    },
    Group { since: [NEVER, 100_600], names: "add_months rownum sys_guid to_char" },
    Group {
        since: [NEVER, 110_800],
        names: "crc32c json_array_intersect json_equals json_key_value json_normalize json_object_filter_keys \
            json_object_to_array kdf natural_sort_key sformat uuid_v4 uuid_v7 vec_distance \
            vec_distance_cosine vec_distance_euclidean vec_fromtext vec_totext",
    },
];

/// Per flavour: not the built-in function if white space stands before the parenthesis, unless `IGNORE_SPACE` is set.
pub(super) const GLUED: [&str; 2] = [
    "adddate bit_and bit_or bit_xor cast count curdate curtime date_add date_sub extract group_concat \
     json_arrayagg json_duality_object json_objectagg max mid min now position session_user st_collect \
     std stddev stddev_pop stddev_samp subdate substr substring sum sysdate system_user trim var_pop \
     var_samp variance",
    "adddate bit_and bit_or bit_xor cast count cume_dist curdate curtime date_add date_sub dense_rank \
     extract first_value group_concat json_arrayagg json_objectagg lag lead max median mid min now \
     nth_value ntile percent_rank percentile_cont percentile_disc position rank session_user std stddev \
     stddev_pop stddev_samp subdate substr substring sum system_user trim trim_oracle var_pop var_samp \
     variance",
];

/// No longer built into MySQL from this version on; what they call then, a component's function or somebody's own, is
/// not known.
pub(super) const RETIRED: [(&str, u32); 3] = [("md5", 90_600), ("sha", 90_600), ("sha1", 90_600)];
